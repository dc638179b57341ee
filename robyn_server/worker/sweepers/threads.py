"""Ends threads whose time is over, and prunes their checkpoints.

Rules
  1. Each thread is a transaction of its own, which leaves a thread alone that is in use. Several workers may sweep at
     once.
  2. A thread that cannot be ended does not keep the others from being ended. The next sweep tries it again.
  3. A sweep gives up after MOST_FAILURES, because something is wrong with the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from robyn_server.core.ttl import PruneStrategy
from robyn_server.metrics.definitions import CHECKPOINTS_SWEPT, THREADS_SWEPT
from robyn_server.storage.thread_retention import FIRST, DueThread, ThreadRetention

_BATCH = 100
MOST_FAILURES = 10
_log = structlog.get_logger(__name__)


class ThreadSweeper:
    """`limit`: most threads of one sweep that end by their ttl. `max_idle`: the time after which an unused thread is
    deleted.

    `keep_checkpoints`: the number of checkpoints that a thread keeps.
    """

    def __init__(
        self,
        retention: ThreadRetention,
        *,
        limit: int | None = None,
        max_idle: timedelta | None = None,
        keep_checkpoints: int | None = None,
    ) -> None:
        self._retention = retention
        self._limit = limit
        self._max_idle = max_idle
        self._keep_checkpoints = keep_checkpoints

    async def sweep(self) -> None:
        """End threads whose ttl is over, and delete idle ones. Raises Unavailable."""
        await self.end_expired()
        if self._max_idle is not None:
            await self.delete_idle(self._max_idle)

    async def prune(self) -> None:
        """Prune threads with too many checkpoints. The first time, this looks at every thread. Raises Unavailable."""
        if self._keep_checkpoints is not None:
            await self.prune_changed(self._keep_checkpoints)

    async def end_expired(self) -> int:
        """End threads whose ttl is over. Return how many. Raises Unavailable."""
        return await self._end_each(self._retention.list_expired, self._expire, self._limit)

    async def delete_idle(self, idle: timedelta) -> int:
        """Delete threads that nobody used for `idle`. Return how many. Raises Unavailable."""

        async def delete(thread_id: UUID) -> bool:
            is_deleted = await self._retention.delete_idle(thread_id, idle)
            THREADS_SWEPT.inc(PruneStrategy.DELETE, by=is_deleted)
            return is_deleted

        return await self._end_each(partial(self._retention.list_idle, idle), delete)

    async def prune_changed(self, keep: int) -> int:
        """Leave `keep` checkpoints to each thread that has changed since the last sweep.

        Return how many were deleted.
        """
        total, looked = 0, 1
        while looked:
            looked, deleted = await self._retention.prune_changed(keep)
            CHECKPOINTS_SWEPT.inc(by=deleted)
            total += deleted
        return total

    async def _end_each(
        self,
        list_due: Callable[[DueThread, int], Awaitable[Sequence[DueThread]]],
        end: Callable[[UUID], Awaitable[bool]],
        limit: int | None = None,
    ) -> int:
        ended, failures, after = 0, 0, FIRST
        while due := await list_due(after, _BATCH):
            for each in due:
                try:
                    ended += await end(each.thread_id)
                except Exception as error:  # rule 2
                    failures += 1
                    _log.warning("a thread could not be ended", thread_id=str(each.thread_id), error=repr(error))
                    if failures == MOST_FAILURES:
                        raise
                if ended == limit:
                    return ended
            after = due[-1]
        return ended

    async def _expire(self, thread_id: UUID) -> bool:
        strategy = await self._retention.expire(thread_id)
        if strategy is None:
            return False
        THREADS_SWEPT.inc(strategy)
        _log.info("thread expired", thread_id=str(thread_id), strategy=str(strategy))
        return True
