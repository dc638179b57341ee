"""The ledger of agent sync, in table `agent_sync`: shared by all replicas, on this database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from robyn_server.core.catalogue.fields import SyncOutcome
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.queries import load

from .source_storage import SourceStorage

_SQL = load("agent_sync/ledger")


class Ledger(SourceStorage):
    """When each agent was last checked, how that ended, and which write-backs are pending.

    Each source has lines of its own.
    """

    async def fresh(self, agent_id: UUID, ttl: timedelta, *, synced_at: datetime | None = None) -> bool:  # noqa: ARG002  for a ledger that forgets
        """Whether any replica checked the agent within `ttl` without a failure."""
        async with translated():
            return bool(await self._pool.fetchval(*_SQL["fresh"].bind(agent_id=agent_id, ttl=ttl, source=self.source)))

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        """Write the last outcome of each agent, in one statement."""
        lines = list({outcome.agent_id: outcome for outcome in outcomes}.values())
        async with translated():
            await self._pool.execute(
                *_SQL["record"].bind(
                    agent_ids=[line.agent_id for line in lines],
                    assistant_ids=[line.assistant_id for line in lines],
                    actions=[str(line.action) for line in lines],
                    failures=[line.failure for line in lines],
                    write_backs_pending=[line.write_back_pending for line in lines],
                    source=self.source,
                )
            )

    async def failing(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Agents whose last sync failed, by id."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["failing"].bind(after=after, limit=limit, source=self.source))
        return [row["agent_id"] for row in rows]

    async def count_failing(self) -> int:
        """The number of agents whose last sync failed."""
        async with translated():
            return int(await self._pool.fetchval(*_SQL["count_failing"].bind(source=self.source)))

    async def pending_write_backs(self, after: UUID | None, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """Up to `limit` pairs (agent, assistant) whose write-back failed, by the agent's id."""
        async with translated():
            rows = await self._pool.fetch(
                *_SQL["pending_write_backs"].bind(after=after, limit=limit, source=self.source)
            )
        return [(row["agent_id"], row["assistant_id"]) for row in rows]

    async def written_back(self, agent_ids: Sequence[UUID]) -> None:
        """Mark these write-backs as done. The time of the last check stays."""
        async with translated():
            await self._pool.execute(*_SQL["written_back"].bind(agent_ids=list(agent_ids), source=self.source))
