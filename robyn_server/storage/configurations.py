"""Configurations: what one tenant has set for a type of agent. Works as agenthall_app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from robyn_server.core.errors import Unavailable

from .agent_pages import AgentPage, agent_page
from .database import Connection, Pool
from .errors import translated
from .json import to_json
from .queries import load

_SQL = load("configurations")


class Configurations:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, tenant: UUID, agent_id: str) -> str | None:
        """As JSON text."""
        async with translated():
            body: str | None = await self._pool.fetchval(_SQL["get"], tenant, agent_id)
        return body

    async def search(self, tenant: UUID, *, after: str | None, limit: int) -> AgentPage:
        async with translated():
            rows = await self._pool.fetch(_SQL["search"], tenant, after or "", limit + 1)
        return agent_page(rows, limit)

    async def put(self, tenant: UUID, agent_id: str, fields: Mapping[str, Any]) -> tuple[str, bool]:
        """The configuration as JSON text, and whether it is new. Raises Invalid, Conflict (another agent has the name)."""
        async with self._acting_for(tenant) as connection:
            await connection.execute(_SQL["ensure_manifest"], agent_id)
            manifest = await connection.fetchval(_SQL["manifest_id"], agent_id)
            if manifest is None:
                raise Unavailable("The agent's manifest has just been deleted; try again.")
            is_new = await connection.fetchval(_SQL["put"], tenant, manifest, agent_id, to_json(fields))
            return await connection.fetchval(_SQL["get"], tenant, agent_id), is_new

    async def update(self, tenant: UUID, agent_id: str, fields: Mapping[str, Any]) -> str | None:
        """None: the tenant has no such configuration."""
        async with self._acting_for(tenant) as connection:
            manifest = await connection.fetchval(_SQL["manifest_id"], agent_id)
            await connection.execute(_SQL["update"], tenant, manifest, to_json(fields))
            body: str | None = await connection.fetchval(_SQL["get"], tenant, agent_id)
        return body

    async def delete(self, tenant: UUID, agent_id: str) -> bool:
        """With its instances and their leases."""
        async with self._acting_for(tenant) as connection:
            manifest = await connection.fetchval(_SQL["manifest_id"], agent_id)
            return await connection.fetchval(_SQL["delete"], tenant, manifest) is not None

    @asynccontextmanager
    async def _acting_for(self, tenant: UUID) -> AsyncIterator[Connection]:
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["act"], tenant)
            yield connection
