"""Configurations: the settings of one organization for a type of agent. Works as agenthall_app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.storage.agent_sync.pages import AgentPage, agent_page
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import to_json
from robyn_server.storage.postgres.pools import Connection, Pool, attributed, transaction
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/configurations")


class Configurations:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, organization_id: UUID, agent_id: str) -> str | None:
        async with translated():
            return await _find(self._pool, organization_id, agent_id)

    async def search(self, organization_id: UUID, *, after: str | None, limit: int) -> AgentPage:
        async with translated():
            query = _SQL["search"].bind(organization_id=organization_id, after=after or "", limit=limit + 1)
            rows = await self._pool.fetch(*query)
        return agent_page(rows, limit)

    async def upsert(
        self, organization_id: UUID, agent_id: str, fields: Mapping[str, Any], *, by: Principal | None = None
    ) -> tuple[str, bool]:
        """Return the configuration as JSON text, and whether it is new.

        Raises Invalid, Conflict when the name is taken, TooMany.
        """
        async with self._acting_for(organization_id, by) as connection:
            ensure = _SQL["upsert_ensure_manifest"].bind(agent_id=agent_id, organization_id=organization_id)
            manifest = await connection.fetchval(*ensure)
            is_new = await connection.fetchval(
                *_SQL["upsert"].bind(
                    organization_id=organization_id, manifest_id=manifest, agent_id=agent_id, fields=to_json(fields)
                )
            )
            body = await _find(connection, organization_id, agent_id)
        assert body is not None  # noqa: S101 - this transaction has just written it
        return body, is_new

    async def update(
        self, organization_id: UUID, agent_id: str, fields: Mapping[str, Any], *, by: Principal | None = None
    ) -> str | None:
        """Return the configuration as JSON text; None when the organization has none."""
        async with self._acting_for(organization_id, by) as connection:
            manifest = await _manifest_id(connection, agent_id)
            await connection.execute(
                *_SQL["update"].bind(organization_id=organization_id, manifest_id=manifest, fields=to_json(fields))
            )
            return await _find(connection, organization_id, agent_id)

    async def delete(self, organization_id: UUID, agent_id: str, *, by: Principal | None = None) -> bool:
        """Delete the configuration with its instances and their leases."""
        async with self._acting_for(organization_id, by) as connection:
            manifest = await _manifest_id(connection, agent_id)
            query = _SQL["delete"].bind(organization_id=organization_id, manifest_id=manifest)
            return await connection.fetchval(*query) is not None

    @asynccontextmanager
    async def _acting_for(self, organization_id: UUID, by: Principal | None) -> AsyncIterator[Connection]:
        async with transaction(self._pool) as connection:
            await connection.execute(*_SQL["acting_for"].bind(**attributed(by), organization_id=organization_id))
            yield connection


async def _find(connection: Pool | Connection, organization_id: UUID, agent_id: str) -> str | None:
    body: str | None = await connection.fetchval(*_SQL["find"].bind(organization_id=organization_id, agent_id=agent_id))
    return body


async def _manifest_id(connection: Connection, agent_id: str) -> UUID | None:
    manifest_id: UUID | None = await connection.fetchval(*_SQL["manifest_id"].bind(agent_id=agent_id))
    return manifest_id
