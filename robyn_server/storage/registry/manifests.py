"""Manifests: types of agents.

An organization reads through row-level security. Administrators read and write as agenthall_system.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.storage.agent_sync.pages import AgentPage, agent_page
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import to_json
from robyn_server.storage.postgres.pools import Pool, attributed
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/manifests")


class Manifests:
    """`organization_id` None: all manifests, as administrators see them."""

    def __init__(self, app: Pool, system: Pool) -> None:
        self._app = app
        self._system = system

    async def find(self, organization_id: UUID | None, agent_id: str) -> str | None:
        async with translated():
            if organization_id is None:
                body: str | None = await self._system.fetchval(*_SQL["find_any"].bind(agent_id=agent_id))
            else:
                body = await self._app.fetchval(*_SQL["find"].bind(organization_id=organization_id, agent_id=agent_id))
        return body

    async def search(self, organization_id: UUID | None, *, after: str | None, limit: int) -> AgentPage:
        async with translated():
            if organization_id is None:
                rows = await self._system.fetch(*_SQL["search_any"].bind(after=after or "", limit=limit + 1))
            else:
                query = _SQL["search"].bind(organization_id=organization_id, after=after or "", limit=limit + 1)
                rows = await self._app.fetch(*query)
        return agent_page(rows, limit)

    async def upsert(
        self, agent_id: str, fields: Mapping[str, Any], *, by: Principal | None = None
    ) -> tuple[str, bool]:
        """Return the manifest as JSON text, and whether it is new. Raises Invalid."""
        async with translated():
            row = await self._system.fetchrow(
                *_SQL["upsert"].bind(**attributed(by), agent_id=agent_id, fields=to_json(fields))
            )
        assert row is not None  # noqa: S101 - an upsert that returns
        return row["body"], row["is_new"]

    async def update(self, agent_id: str, fields: Mapping[str, Any], *, by: Principal | None = None) -> str | None:
        """Return the manifest as JSON text; None when there is none."""
        async with translated():
            body: str | None = await self._system.fetchval(
                *_SQL["update"].bind(**attributed(by), agent_id=agent_id, fields=to_json(fields))
            )
        return body

    async def delete(self, agent_id: str, *, by: Principal | None = None) -> bool:
        """Raises Conflict (code manifest_in_use) while an organization has a configuration of the agent."""
        async with translated():
            return await self._system.fetchval(*_SQL["delete"].bind(**attributed(by), agent_id=agent_id)) is not None
