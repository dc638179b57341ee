"""A server with a sockets process, and instances and clients of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from agenthall_client import AgentInstance, Client, Timing
from databases import fresh_database
from deadlines import DEADLINE
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from servers.live_server import free_port, live_server
from servers.sockets_process import SocketsProcess
from users.issued_api_keys import issue_api_key

ORGANIZATION, OTHER_ORGANIZATION = "0a000000-0000-4000-8000-0000000000c1", "0b000000-0000-4000-8000-0000000000c2"
FAST_TIMING = Timing(keepalive=2.0, backoff_first=0.05, backoff_most=0.5)


class RegistryServer:
    """`key` belongs to ORGANIZATION, `other_key` to OTHER_ORGANIZATION."""

    def __init__(self, url: str, database: str, sockets: SocketsProcess, http: httpx.AsyncClient) -> None:
        self.url = url
        self.database = database
        self.sockets = sockets
        self.http = http
        self.sockets_port = sockets.port
        self.sockets_url = sockets.url
        self.key = self.other_key = ""

    def instance(self, agent_id: str, **arguments: object) -> AgentInstance:
        defaults = {"url": self.sockets_url, "api_key": self.key, "timing": FAST_TIMING}
        return AgentInstance(agent_id, **{**defaults, **arguments})

    def sdk(self) -> LangGraphClient:
        return get_client(url=self.url, api_key=self.key, timeout=httpx.Timeout(DEADLINE))

    def client(self, **arguments: object) -> Client:
        return Client(**{"url": self.sockets_url, "api_key": self.key, "timing": FAST_TIMING, **arguments})

    async def get_instance(self, registration_id: str | None) -> dict[str, object]:
        """The instance as the REST API shows it."""
        return (await self.http.get(f"/agents/instances/{registration_id}")).raise_for_status().json()


@contextlib.asynccontextmanager
async def registry_server(
    postgres: str, template: str, log: Path, *, workers: int = 0
) -> AsyncIterator[RegistryServer]:
    port = free_port()
    settings = {
        "AUTH_MODE": "keys",
        "AGENTHALL_SOCKETS_PORT": str(port),
        "AGENTHALL_SOCKETS_RECHECK": "0.3",
        "AGENTHALL_DRAIN_SECONDS": "2",
    }
    async with (
        fresh_database(postgres, template) as database,
        live_server(database, workers=workers, **settings) as live,
        live.http() as http,
    ):
        sockets = SocketsProcess(live.environment, log, port)
        try:
            server = RegistryServer(live.url, database, sockets, http)
            server.key = await issue_api_key(database, ORGANIZATION)
            server.other_key = await issue_api_key(database, OTHER_ORGANIZATION)
            http.headers["x-api-key"] = server.key
            await sockets.ready()
            yield server
        finally:
            sockets.kill()
            sockets.popen.wait()
