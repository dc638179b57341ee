"""Messages of instances about their jobs, for many jobs of all organizations at a time. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from robyn_server.core.registry.job_events import JobEvents
from robyn_server.core.registry.jobs import ExtendedJob, JobOutcome, JobRef, JobState
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/jobs/messages")
_SECONDS = 10.0
"""No message waits longer for the database: its client repeats it."""


class AppendedEvents(NamedTuple):
    """`applied_through`: the number of the last event that is stored; None for a fenced message."""

    outcome: JobOutcome
    applied_through: int | None


class Dispatched(NamedTuple):
    """`offered`: registrations that got offers. `changed`: jobs that ended."""

    offered: Sequence[UUID]
    changed: Sequence[UUID]


class JobMessages:
    """Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append_events(self, messages: Sequence[JobEvents]) -> Mapping[UUID, AppendedEvents]:
        """Store events of running jobs in one statement, and return one result for each job.

        Each job is named once. The events are committed when it returns.
        """
        events = [(position, each) for position, message in enumerate(messages, start=1) for each in message.events]
        query = _SQL["append_events"].bind(
            **_columns([each.ref for each in messages]),
            first_seqs=[each.first_seq for each in messages],
            positions=[position for position, _ in events],
            events=[each.event for _, each in events],
            data=[each.data for _, each in events],
        )
        async with translated():
            rows = await self._pool.fetch(*query, timeout=_SECONDS)
        return {row[0]: AppendedEvents(JobOutcome(row[1]), row[2]) for row in rows}

    async def extend(self, refs: Sequence[JobRef]) -> Mapping[JobRef, ExtendedJob]:
        """Extend the leases of running jobs in one statement, and return one result for each."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["extend"].bind(**_columns(refs)), timeout=_SECONDS)
        return {JobRef(*row[:5]): ExtendedJob(row[1], row[2], JobOutcome(row[5]), row[6]) for row in rows}

    async def find_lost(self, refs: Sequence[JobRef]) -> Mapping[tuple[UUID, int], JobState | None]:
        """Return those jobs, by id and attempt, that their instances do not run any more, and their present state.

        None: the job was deleted.
        """
        columns = _columns(refs)
        del columns["organization_ids"]
        async with translated():
            rows = await self._pool.fetch(*_SQL["find_lost"].bind(**columns), timeout=_SECONDS)
        return {(row[0], row[1]): None if row[2] is None else JobState(row[2]) for row in rows}

    async def dispatch_of(self, registration_ids: Sequence[UUID]) -> Dispatched:
        """Offer queued jobs of the types of agents that these registrations are of, or were."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["dispatch_of"].bind(registration_ids=list(registration_ids)))
        return Dispatched([each for row in rows for each in row[0]], [each for row in rows for each in row[1]])


def _columns(refs: Sequence[JobRef]) -> dict[str, list[UUID] | list[int]]:
    return {
        "organization_ids": [each.organization_id for each in refs],
        "job_ids": [each.job_id for each in refs],
        "attempts": [each.attempt for each in refs],
        "registration_ids": [each.registration_id for each in refs],
        "epochs": [each.epoch for each in refs],
    }
