"""A server of the tests, and instances and clients of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
from agenthall_client import AgentInstance, Client, Timing
from live_server import Process

HARBOUR, MEADOW = "0a000000-0000-4000-8000-0000000000c1", "0b000000-0000-4000-8000-0000000000c2"
QUICK = Timing(keepalive=0.4, backoff_first=0.05, backoff_most=0.5)


class Place:
    """`key` is of HARBOUR, `other_key` of MEADOW."""

    def __init__(self, url: str, database: str, sockets: Process, http: httpx.AsyncClient) -> None:
        self.url = url
        self.database = database
        self.sockets = sockets
        self.http = http
        self.sockets_port = int(sockets.environment["AGENTHALL_SOCKETS_PORT"])
        self.sockets_url = f"ws://127.0.0.1:{self.sockets_port}/ws"
        self.key = self.other_key = ""

    def instance(self, agent_id: str, **given: object) -> AgentInstance:
        return AgentInstance(agent_id, **{"url": self.sockets_url, "api_key": self.key, "timing": QUICK, **given})

    def client(self, **given: object) -> Client:
        return Client(**{"url": self.sockets_url, "api_key": self.key, "timing": QUICK, **given})

    async def shown(self, registration_id: str | None) -> dict[str, object]:
        """The instance as REST has it."""
        return (await self.http.get(f"/agents/instances/{registration_id}")).raise_for_status().json()

    async def is_listening(self) -> bool:
        assert self.sockets.popen.poll() is None, self.sockets.said()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{self.sockets_port}/ok")).status_code == 200
        return False


class Sockets(Process):
    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment = environment
        super().__init__("sockets", environment, log)
