"""Jobs of all organizations, for processes that hold sockets, follow jobs or sweep. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from robyn_server.core.registry.jobs import (
    FollowedJob,
    JobEvent,
    JobNotice,
    JobRef,
    JobState,
    SweptJobs,
)
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/jobs/assigned")
_EVENTS_PER_JOB = 500
_ORPHANS = 1000


class AssignedJobs:
    """Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_notices(self, registration_ids: Sequence[UUID]) -> list[JobNotice]:
        """List what these registrations are to be told, the oldest job first."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_notices"].bind(registration_ids=list(registration_ids)))
        return [_notice(row) for row in rows]

    async def follow(self, positions: Mapping[UUID, tuple[int, int]]) -> list[FollowedJob]:
        """Read jobs with their events after a position: attempt and seq of the last event that the follower has.

        A job that was deleted is left out.
        """
        query = _SQL["follow"].bind(
            job_ids=list(positions),
            attempts=[attempt for attempt, _ in positions.values()],
            seqs=[seq for _, seq in positions.values()],
            limit=_EVENTS_PER_JOB,
        )
        async with translated():
            rows = await self._pool.fetch(*query)
        return [_followed(row) for row in rows]

    async def sweep(self, now: datetime | None = None) -> SweptJobs:
        """Apply what is due, and offer what is queued. `now`: None for the database's time."""
        async with translated():
            row = await self._pool.fetchrow(*_SQL["sweep"].bind(now=now))
        assert row is not None  # noqa: S101 - one row
        return SweptJobs(row["changed"], row["told"], row["offered"], row["skipped"])

    async def delete_ended(self) -> int:
        """Delete old jobs. Return their number."""
        async with translated():
            count: int = await self._pool.fetchval(*_SQL["delete_ended"].bind())
        return count

    async def list_orphans(self) -> list[tuple[UUID, UUID]]:
        """Organization and id of open jobs whose run is over."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_orphans"].bind(limit=_ORPHANS))
        return [(row[0], row[1]) for row in rows]

    async def list_of_run(self, run_id: UUID) -> list[tuple[UUID, UUID]]:
        """Organization and id of the open jobs of a run."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_of_run"].bind(run_id=run_id))
        return [(row[0], row[1]) for row in rows]


def _notice(row: asyncpg.Record) -> JobNotice:
    ref = JobRef(row["tenant_id"], row["job_id"], row["attempt"], row["registration_id"], row["epoch"])
    return JobNotice(
        ref,
        JobState(row["state"]),
        row["agent_id"],
        row["run_id"],
        row["thread_id"],
        row["input"],
        row["deadline"],
        row["accept_within"],
        row["cancel_reason"],
        row["cancel_within"],
    )


def _followed(row: asyncpg.Record) -> FollowedJob:
    columns = zip(row["attempts"], row["seqs"], row["events"], row["data"], strict=True)
    return FollowedJob(
        row["id"],
        JobState(row["state"]),
        row["attempt"],
        row["instance_id"],
        [JobEvent(*event) for event in columns],
        from_json(row["result"]),
        from_json(row["error"]),
        from_json(row["interrupts"]),
        has_more=len(row["seqs"]) == _EVENTS_PER_JOB,
    )
