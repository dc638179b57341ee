"""Threads whose time is over. Works as agenthall_system, for all owners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from robyn_server.core.ttl import PruneStrategy

from .postgres.errors import translated
from .postgres.pools import Pool
from .postgres.queries import load

_SQL = load("thread_retention")
_LARGE_THREAD_SECONDS = 600
_SETTLED = timedelta(minutes=1)
"""Longer than the transaction in which a run ends: a change that was committed later would be passed by."""


@dataclass(frozen=True, slots=True)
class DueThread:
    """A thread, and the moment by which the due ones are ordered."""

    at: datetime
    thread_id: UUID


FIRST = DueThread(datetime.min.replace(tzinfo=UTC), UUID(int=0))
"""Before every thread."""


class ThreadRetention:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_expired(self, after: DueThread, limit: int) -> Sequence[DueThread]:
        """List threads whose ttl is over, those that were due first before the others."""
        async with translated():
            query = _SQL["list_expired"].bind(after_at=after.at, after_id=after.thread_id, limit=limit)
            return [DueThread(row["expires_at"], row["thread_id"]) for row in await self._pool.fetch(*query)]

    async def list_idle(self, idle: timedelta, after: DueThread, limit: int) -> Sequence[DueThread]:
        """List threads without a run or an update for `idle`, those unused for longest before the others."""
        async with translated():
            query = _SQL["list_idle"].bind(idle=idle, after_at=after.at, after_id=after.thread_id, limit=limit)
            return [DueThread(row["updated_at"], row["thread_id"]) for row in await self._pool.fetch(*query)]

    async def delete_idle(self, thread_id: UUID, idle: timedelta) -> bool:
        """Delete a thread that nobody used for `idle`. False: it is in use, and was left alone."""
        async with translated():
            query = _SQL["delete_idle"].bind(thread_id=thread_id, idle=idle)
            deleted: bool = await self._pool.fetchval(*query, timeout=_LARGE_THREAD_SECONDS)
        return deleted

    async def prune_changed(self, keep: int, *, settled: timedelta = _SETTLED, limit: int = 1000) -> tuple[int, int]:
        """Look at the next threads whose state has changed, up to the first one with more than `keep` checkpoints.

        Return how many threads were looked at, and how many checkpoints were deleted. 0 threads: there are no more, or
        another process looks.
        """
        async with translated():
            query = _SQL["prune_changed"].bind(keep=keep, settled=settled, limit=limit)
            row = await self._pool.fetchrow(*query, timeout=_LARGE_THREAD_SECONDS)
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return row["looked"], row["deleted"]

    async def expire(self, thread_id: UUID) -> PruneStrategy | None:
        """Delete or prune a thread whose ttl is over, as its strategy says. None: it is in use, and was left alone."""
        async with translated():
            strategy = await self._pool.fetchval(
                *_SQL["expire"].bind(thread_id=thread_id), timeout=_LARGE_THREAD_SECONDS
            )
        return None if strategy is None else PruneStrategy(strategy)
