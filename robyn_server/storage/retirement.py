"""Assistants whose agents the catalogue does not offer any more: `RetirementProtocol` on Postgres. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("synced_assistants")


class Retirement:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def clock(self) -> datetime:
        async with translated():
            now: datetime = await self._pool.fetchval(_SQL["clock"])
        return now

    async def retire(self, agent_ids: Collection[UUID]) -> int:
        """Retires the assistants of these agents; returns how many were not retired before."""
        async with translated():
            return len(await self._pool.fetch(_SQL["retire"], list(agent_ids)))

    async def retire_absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """Retires the catalogue's assistants in (after, last] that are not among `present`; None is no bound.

        One that was written at `before` or later stays: it is newer than what `present` was read from.
        """
        async with translated():
            return len(await self._pool.fetch(_SQL["retire_absent"], after, last, list(present), before))
