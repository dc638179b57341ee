"""A sockets process, as users run it beside web processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx

from servers.live_server import Process, free_port, until


class SocketsProcess(Process):
    """Runs on `port`, by default a free one, with the environment of a LiveServer."""

    def __init__(self, environment: dict[str, str], log: Path, port: int | None = None, **settings: str) -> None:
        self.port = port or free_port()
        super().__init__("sockets", environment | {"AGENTHALL_SOCKETS_PORT": str(self.port)} | settings, log)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def ready(self) -> None:
        async with httpx.AsyncClient() as client:

            async def is_ok() -> bool:
                assert self.popen.poll() is None, self.read_log()[-3000:]
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"http://127.0.0.1:{self.port}/ok")).status_code == 200
                return False

            await until(is_ok)
