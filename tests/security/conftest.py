"""A server with a sockets process that hostile clients share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from databases import fresh_database
from servers.live_server import LiveServer, live_server
from servers.sockets_process import SocketsProcess

from .plausible import ORGANIZATION


@dataclass(frozen=True, slots=True)
class HostileTarget:
    server: LiveServer
    sockets: SocketsProcess
    http: httpx.AsyncClient

    def check_alive(self) -> None:
        """No process ended, and none met an error that it did not expect."""
        self.server.check_alive()
        assert self.sockets.popen.poll() is None, self.sockets.read_log()[-3000:]
        for process in (*self.server.webs, self.sockets):
            for event in ("request.failed", "a message failed", "Traceback"):
                assert event not in process.read_log(), process.read_log()[-3000:]


@pytest.fixture(scope="package")
async def target(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HostileTarget]:
    log = Path(tmp_path_factory.mktemp("hostile") / "sockets.log")
    async with (
        fresh_database(postgres, template) as url,
        live_server(url) as server,
        server.http(**{"x-organization-id": ORGANIZATION, "content-type": "application/json"}) as http,
    ):
        sockets = SocketsProcess(server.environment, log, AGENTHALL_DEV_TENANT=ORGANIZATION)
        try:
            await sockets.ready()
            yield HostileTarget(server, sockets, http)
        finally:
            sockets.kill()
