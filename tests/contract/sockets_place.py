"""A server with sockets processes of its own beside it, and a short way to dial them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from dialled import dial
from live_server import LiveServer, Process, free_port, until

from robyn_server.core.principal import LOCAL
from robyn_server.services.api_keys import ApiKeyService, KeyRequest


class Sockets(Process):
    """A sockets process of the live server's database, on a port of its own."""

    def __init__(self, environment: dict[str, str], log: Path, **settings: str) -> None:
        self.port = free_port()
        super().__init__("sockets", environment | {"AGENTHALL_SOCKETS_PORT": str(self.port)} | settings, log)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def ready(self) -> None:
        async with httpx.AsyncClient() as client:

            async def is_ok() -> bool:
                assert self.popen.poll() is None, self.said()[-3000:]
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"http://127.0.0.1:{self.port}/ok")).status_code == 200
                return False

            await until(is_ok)


@dataclass
class Place:
    server: LiveServer
    one: Sockets
    other: Sockets
    open: Sockets
    service: ApiKeyService
    database: asyncpg.Pool[asyncpg.Record]
    harbour: str
    meadow: str

    async def key(self, *organizations: str, **request: Any) -> Any:
        return await self.service.create(LOCAL, KeyRequest(frozenset(map(UUID, organizations)), **request))

    def dial(self, process: Sockets | None = None, key: str | None = None, **options: Any) -> Any:
        return dial((process or self.one).url, headers={"X-API-Key": key or self.harbour}, **options)

    async def row(self, registration_id: str) -> Any:
        query = "select registration_status, health_status, epoch from mcp.agent_registrations where id = $1"
        return await self.database.fetchrow(query, UUID(registration_id))
