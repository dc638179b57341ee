"""Histories of instances, which the functions of schema mcp write. Works as agenthall_app."""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.registry.instance_history import HistoryEntry, InstanceHistory
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/instances/history")
_COUNTS = ("succeeded", "failed", "rejected", "running")


class InstanceHistories:
    """Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, organization_id: UUID, registration_id: UUID) -> InstanceHistory | None:
        """None when the organization has no such registration."""
        query = _SQL["find"].bind(organization_id=organization_id, registration_id=registration_id)
        async with translated():
            row = await self._pool.fetchrow(*query)
        if row is None:
            return None
        entries = [HistoryEntry(**each) for each in from_json(row["entries"])]
        breaker, check = from_json(row["breaker"]), from_json(row["health_check"])
        return InstanceHistory(entries, breaker, {name: row[name] for name in _COUNTS}, check)
