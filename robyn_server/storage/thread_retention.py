"""Threads whose time is over. Works as agenthall_system, for all owners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from robyn_server.core.ttl import PruneStrategy

from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("thread_retention")
_LARGE_THREAD_SECONDS = 600


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

    async def expire(self, thread_id: UUID) -> PruneStrategy | None:
        """Delete or prune a thread whose ttl is over, as its strategy says. None: it is in use, and was left alone."""
        async with translated():
            strategy = await self._pool.fetchval(
                *_SQL["expire"].bind(thread_id=thread_id), timeout=_LARGE_THREAD_SECONDS
            )
        return None if strategy is None else PruneStrategy(strategy)
