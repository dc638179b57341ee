"""A server with several sockets processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from network.websocket_client import dial
from servers.live_server import LiveServer
from servers.sockets_process import SocketsProcess

from robyn_server.core.access.principal import LOCAL
from robyn_server.identity.api_keys import ApiKeyService, KeyRequest


@dataclass
class SocketsDeployment:
    """`one` and `other` require API keys; `open` runs with AUTH_MODE=none."""

    server: LiveServer
    one: SocketsProcess
    other: SocketsProcess
    open: SocketsProcess
    service: ApiKeyService
    database: asyncpg.Pool[asyncpg.Record]
    harbour_key: str
    meadow_key: str

    async def issue_key(self, *organizations: str, **request: Any) -> Any:
        return await self.service.create(LOCAL, KeyRequest(frozenset(map(UUID, organizations)), **request))

    def dial(self, process: SocketsProcess | None = None, key: str | None = None, **options: Any) -> Any:
        return dial((process or self.one).url, headers={"X-API-Key": key or self.harbour_key}, **options)

    async def get_status(self, registration_id: str) -> Any:
        query = "select registration_status, health_status, epoch from mcp.agent_registrations where id = $1"
        return await self.database.fetchrow(query, UUID(registration_id))
