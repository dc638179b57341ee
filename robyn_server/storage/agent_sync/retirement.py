"""Take assistants out of service whose agents the catalogue does not offer any more.

Every method returns how many agents it concerned: one agent may have a copy for each of many users.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.queries import Bound, load

from .source_storage import SourceStorage

_SQL = load("agent_sync/retirement")


class Retirement(SourceStorage):
    async def clock(self) -> datetime:
        """The database's clock, by which `updated_at` of assistants is set."""
        async with translated():
            now: datetime = await self._pool.fetchval(*_SQL["clock"].bind())
        return now

    async def retire(self, agent_ids: Collection[UUID], read_at: datetime | None = None) -> int:
        """Retire the assistants of these agents, users' copies included.

        `read_at`: when the agents were found gone, on their source's clock. An agent that was found there later stays.
        """
        return await self._agents(_SQL["retire"].bind(agent_ids=list(agent_ids), read_at=read_at, source=self.source))

    async def retire_shared(self, agent_ids: Collection[UUID]) -> int:
        """Retire the shared assistants of these agents; users' copies stay."""
        return await self._agents(_SQL["retire_shared"].bind(agent_ids=list(agent_ids), source=self.source))

    async def retire_copies(self, agent_ids: Collection[UUID]) -> int:
        """Retire users' copies of these agents; the shared assistants stay."""
        return await self._agents(_SQL["retire_copies"].bind(agent_ids=list(agent_ids), source=self.source))

    async def retire_absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """Retire the source's shared assistants in (after, last] that are not in `present`; None is no bound.

        One that was written at `before` or later stays: it is newer than the read that `present` comes from.
        """
        return await self._agents(
            _SQL["retire_absent"].bind(after=after, last=last, present=list(present), before=before, source=self.source)
        )

    async def retire_absent_copies(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """As `retire_absent`, for users' copies; the bounds and `present` are ids of agents."""
        return await self._agents(
            _SQL["retire_absent_copies"].bind(
                after=after, last=last, present=list(present), before=before, source=self.source
            )
        )

    async def _agents(self, bound: Bound) -> int:
        return len({row["agent_id"] for row in await self._fetch_replanned(bound)})
