"""Ends threads whose time is over.

Rules
  1. Each thread is a transaction of its own, which leaves a thread alone that is in use. Several workers may sweep at once.
  2. A thread that cannot be ended does not keep the others from being ended. The next sweep tries it again.
  3. A sweep gives up after MOST_FAILURES, because something is wrong with the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from robyn_server.metrics.definitions import THREADS_SWEPT
from robyn_server.storage.thread_retention import FIRST, DueThread, ThreadRetention

_BATCH = 100
MOST_FAILURES = 10
_log = structlog.get_logger(__name__)


class ThreadSweeper:
    """`limit`: most threads of one sweep."""

    def __init__(self, retention: ThreadRetention, *, limit: int | None = None) -> None:
        self._retention = retention
        self._limit = limit

    async def sweep(self) -> int:
        """End threads whose ttl is over. Return how many. Raises Unavailable."""
        return await self._end_each(self._retention.list_expired, self._expire)

    async def _end_each(
        self,
        list_due: Callable[[DueThread, int], Awaitable[Sequence[DueThread]]],
        end: Callable[[UUID], Awaitable[bool]],
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
                if ended == self._limit:
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
