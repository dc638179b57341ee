"""Scaling signals of agents, read from their jobs and slots."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.registry.scaling import ScalingSignals
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/scaling")


@dataclass(frozen=True, slots=True)
class JobTotals:
    """Jobs and slots of one agent, in all organizations."""

    agent: str
    queued: int
    oldest_queued_seconds: float
    used: int
    slots: int


class Scaling:
    """Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def search(
        self, organization_id: UUID, agent_id: str | None, *, after: str | None, limit: int
    ) -> list[ScalingSignals]:
        """The signals of configured agents in the order of agent_id. Works as agenthall_app."""
        query = _SQL["search"].bind(organization_id=organization_id, agent_id=agent_id, after=after or "", limit=limit)
        async with translated():
            rows = await self._pool.fetch(*query)
        return [
            ScalingSignals(
                row["agent_id"],
                row["queued"],
                row["oldest_queued_seconds"],
                row["offered"],
                row["used"],
                row["instances"],
                row["slots"],
                row["ejected"],
                row["per_instance"],
            )
            for row in rows
        ]

    async def totals(self, most: int) -> list[JobTotals]:
        """The `most` agents with the most work, of all organizations. Works as agenthall_system."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["totals"].bind(most=most))
        return [JobTotals(**row) for row in rows]
