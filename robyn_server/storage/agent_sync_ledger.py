"""The books of agent sync, in table `agent_sync`: shared by all replicas, on this database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from robyn_server.core.catalogue import AgentSource, SyncOutcome

from .agent_sync_passes import AgentSyncPasses
from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("agent_sync")


class PostgresAgentSyncLedger:
    """`pool` works as agenthall_system; `source` has lines of its own. Raises Unavailable when the database is away."""

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self._source = source
        self.passes = AgentSyncPasses(pool)

    async def fresh(self, agent_id: UUID, ttl: timedelta, *, synced_at: datetime | None = None) -> bool:  # noqa: ARG002  the books know better
        """Whether any replica compared the agent, well, within `ttl`."""
        async with translated():
            return bool(await self._pool.fetchval(_SQL["is_fresh"], agent_id, ttl, self._source))

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        """Notes the last outcome of each agent, in one statement."""
        lines = list({outcome.agent_id: outcome for outcome in outcomes}.values())
        async with translated():
            await self._pool.execute(
                _SQL["record"],
                [line.agent_id for line in lines],
                [line.assistant_id for line in lines],
                [str(line.action) for line in lines],
                [line.failure for line in lines],
                [line.write_back_pending for line in lines],
                self._source,
            )

    async def pending_write_backs(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """Up to `limit` pairs (agent, assistant) whose write-back failed."""
        async with translated():
            rows = await self._pool.fetch(_SQL["pending_write_backs"], limit, self._source)
        return [(row["agent_id"], row["assistant_id"]) for row in rows]

    async def written_back(self, agent_ids: Sequence[UUID]) -> None:
        """Those are owed no longer. The time of their last check stays."""
        async with translated():
            await self._pool.execute(_SQL["written_back"], list(agent_ids), self._source)
