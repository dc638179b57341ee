"""Records of one run that its timeline is derived from. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from robyn_server.core.run_timeline import EventCounts, Job, Step, Write
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("runs/timeline")
_GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CLOCK_SKEW = timedelta(minutes=5)
"""Ids of checkpoints are made by the clocks of workers."""


class RunTimelines:
    """The caller has checked the right to read the run. Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count_events(self, run_id: UUID) -> Sequence[EventCounts]:
        async with translated():
            rows = await self._pool.fetch(*_SQL["count_events"].bind(run_id=run_id))
        return [EventCounts(**row) for row in rows]

    async def list_steps(self, thread_id: UUID, run_id: UUID, since: datetime, until: datetime) -> Sequence[Step]:
        """The run's checkpoints of the graph itself, not of its subgraphs, the oldest first."""
        query = _SQL["list_steps"].bind(
            thread_id=str(thread_id),
            run_id=str(run_id),
            lowest=_lowest_checkpoint(since - _CLOCK_SKEW),
            highest=_lowest_checkpoint(until + _CLOCK_SKEW),
        )
        async with translated():
            rows = await self._pool.fetch(*query)
        return [Step(**row) for row in rows]

    async def list_writes(self, thread_id: UUID, checkpoint_ids: Sequence[str]) -> Sequence[Write]:
        query = _SQL["list_writes"].bind(thread_id=str(thread_id), checkpoint_ids=checkpoint_ids)
        async with translated():
            rows = await self._pool.fetch(*query)
        return [Write(**row) for row in rows]

    async def list_jobs(self, run_id: UUID) -> Sequence[Job]:
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_jobs"].bind(run_id=run_id))
        return [Job(**row) for row in rows]


def _lowest_checkpoint(moment: datetime) -> str:
    """The lowest UUIDv6 of a moment (RFC 9562, section 5.6), in the form of LangGraph."""
    ticks = f"{(moment - _GREGORIAN) // _MICROSECOND * 10:015x}"
    return f"{ticks[:8]}-{ticks[8:12]}-6{ticks[12:]}-0000-000000000000"
