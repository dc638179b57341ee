"""Assistants whose agents the catalogue does not offer any more: `RetirementProtocol` on Postgres. Works as agenthall_system.

Every method returns how many agents it concerned: one may have a copy for each of many users.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import AgentSource

from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("synced_assistants")


class Retirement:
    """Of one `source`: the agents of the other are none of its business."""

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self._source = source

    async def clock(self) -> datetime:
        async with translated():
            now: datetime = await self._pool.fetchval(_SQL["clock"])
        return now

    async def retire(self, agent_ids: Collection[UUID], read_at: datetime | None = None) -> int:
        """Retires the assistants of these agents, users' copies included; returns how many agents were in service before.

        `read_at`: when they were found gone, on their source's clock; whom a later reading found stays.
        """
        return await self._agents("retire", list(agent_ids), self._source, read_at)

    async def retire_shared(self, agent_ids: Collection[UUID]) -> int:
        """As `retire`, but users' copies stay."""
        return await self._agents("retire_shared", list(agent_ids), self._source)

    async def retire_copies(self, agent_ids: Collection[UUID]) -> int:
        """As `retire`, but the shared assistants stay."""
        return await self._agents("retire_copies", list(agent_ids), self._source)

    async def retire_absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """Retires the catalogue's shared assistants in (after, last] that are not among `present`; None is no bound.

        One that was written at `before` or later stays: it is newer than what `present` was read from.
        """
        return await self._agents("retire_absent", after, last, list(present), before, self._source)

    async def retire_absent_copies(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """As `retire_absent`, of users' copies; the bounds and `present` are ids of agents."""
        return await self._agents("retire_absent_copies", after, last, list(present), before, self._source)

    async def _agents(self, name: str, *arguments: Any) -> int:
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            # one agent may have a copy or ten thousand: a plan for both reads the whole table for either
            await connection.execute("set local plan_cache_mode = force_custom_plan")
            rows = await connection.fetch(_SQL[name], *arguments)
        return len({row["agent_id"] for row in rows})
