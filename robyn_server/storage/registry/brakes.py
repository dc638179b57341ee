"""Brakes of one organization: sets of instances of which many lapsed at once. Works as agenthall_app."""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool, attributed
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/brakes")


class Brakes:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def search(self, organization_id: UUID, *, limit: int, offset: int) -> list[str]:
        """Each as JSON text: `agent_id`, `since`, and the numbers `stale` and `total` of instances; the oldest
        first."""
        async with translated():
            query = _SQL["search"].bind(organization_id=organization_id, limit=limit, offset=offset)
            rows = await self._pool.fetch(*query)
        return [row["body"] for row in rows]

    async def release(self, organization_id: UUID, agent_id: str, *, by: Principal | None = None) -> bool:
        """Return False if there was none."""
        async with translated():
            query = _SQL["release"].bind(**attributed(by), organization_id=organization_id, agent_id=agent_id)
            return bool(await self._pool.fetchval(*query))
