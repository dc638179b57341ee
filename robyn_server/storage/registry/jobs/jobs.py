"""Jobs of one organization, through the functions of schema mcp.

Works as agenthall_app, or as agenthall_system for the server's own processes. Each call is one round trip and one
transaction, and its statement selects the organization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from robyn_server.core.access.principal import Principal
from robyn_server.core.registry.jobs import (
    CancelOutcome,
    ContinuedJob,
    CreatedJob,
    JobEnd,
    JobNotice,
    JobOutcome,
    JobRef,
    JobState,
    NewJob,
    OpenedSlots,
)
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json, to_json
from robyn_server.storage.postgres.pools import Connection, Pool, attributed
from robyn_server.storage.postgres.queries import Bound, load
from robyn_server.storage.registry.versions import range_parameters

JOBS = "agent_jobs"
"""Channel. Payload: ids of jobs whose state or events have changed, separated by commas."""

OFFERS = "agent_offers"
"""Channel. Payload: ids of registrations that are to be told something about a job, separated by commas."""

_SQL = load("registry/jobs/jobs")


@dataclass(frozen=True, slots=True)
class Claimed:
    """`outcome`: that of the registration's epoch. `offered`: registrations that got offers."""

    outcome: str
    offered: Sequence[UUID]
    changed: Sequence[UUID]


class Jobs:
    """Raises Invalid naming the field, Forbidden (code configuration_disabled), Unavailable."""

    def __init__(self, pool: Pool | Connection) -> None:
        self._pool = pool

    async def open_slots(
        self,
        organization_id: UUID,
        registration_id: UUID,
        epoch: int,
        slots: int,
        job_ids: Sequence[UUID],
        *,
        polls: bool = False,
    ) -> OpenedSlots:
        """State how many jobs the instance takes at a time, and which it still has from earlier epochs.

        `polls`: it gets offers only when it claims them.
        """
        row = await self._row(
            _SQL["open_slots"].bind(
                organization_id=organization_id,
                registration_id=registration_id,
                epoch=epoch,
                slots=slots,
                job_ids=list(job_ids),
                polls=polls,
            )
        )
        continued = [
            ContinuedJob(UUID(each["job_id"]), each["attempt"], each["applied_through"], each["cancel"])
            for each in from_json(row["continued"])
        ]
        return OpenedSlots(row["outcome"], continued, row["offered"], row["changed"])

    async def claim(
        self, organization_id: UUID, registration_id: UUID, epoch: int, max_jobs: int, wait_seconds: float
    ) -> Claimed:
        """Ask for offers, now and for `wait_seconds`."""
        row = await self._row(
            _SQL["claim"].bind(
                organization_id=organization_id,
                registration_id=registration_id,
                epoch=epoch,
                max_jobs=max_jobs,
                wait_seconds=wait_seconds,
            )
        )
        return Claimed(row["outcome"], row["offered"], row["changed"])

    async def take(
        self, organization_id: UUID, registration_id: UUID, epoch: int, max_jobs: int, *, is_last: bool
    ) -> list[JobNotice]:
        """Take at most `max_jobs` offers of an instance that polls.

        The poll ends with the first that it takes; with `is_last` also without one.
        """
        query = _SQL["take"].bind(
            organization_id=organization_id,
            registration_id=registration_id,
            epoch=epoch,
            max_jobs=max_jobs,
            is_last=is_last,
        )
        async with translated():
            rows = await self._pool.fetch(*query)
        return [_offer(row, organization_id, registration_id, epoch) for row in rows]

    async def end_poll(self, organization_id: UUID, registration_id: UUID, epoch: int, max_jobs: int) -> None:
        """End a poll whose client has gone."""
        query = _SQL["end_poll"].bind(
            organization_id=organization_id, registration_id=registration_id, epoch=epoch, max_jobs=max_jobs
        )
        async with translated():
            await self._pool.fetchval(*query)

    async def create(self, job: NewJob) -> CreatedJob:
        """Create a job and offer it to an instance, if one can take it now."""
        conditions, policy = job.conditions, job.policy
        row = await self._row(
            _SQL["create"].bind(
                organization_id=job.organization_id,
                agent_id=job.agent_id,
                input=to_json(job.input),
                job_id=job.job_id,
                thread_id=job.thread_id,
                run_id=job.run_id,
                capabilities=list(conditions.capabilities),
                tags=list(conditions.tags),
                zone=conditions.zone,
                affinity_key=conditions.affinity_key,
                retry=policy.retry,
                max_attempts=policy.max_attempts,
                start_within=policy.start_within,
                run_within=policy.run_within,
                **range_parameters(conditions.version),
            )
        )
        return CreatedJob(JobState(row["state"]), row["is_new"], row["offered"])

    async def accept(self, ref: JobRef) -> tuple[JobOutcome, float]:
        """Accept an offer. Return the outcome, and how many seconds the instance has the job."""
        row = await self._row(_SQL["accept"].bind(**_named(ref)))
        return JobOutcome(row["outcome"]), row["lease_seconds"]

    async def reject(self, ref: JobRef, reason: str | None) -> tuple[JobOutcome, Sequence[UUID]]:
        """Reject an offer, or hand a running job back. Return the outcome, and registrations that got offers."""
        row = await self._row(_SQL["reject"].bind(**_named(ref), reason=reason))
        return JobOutcome(row["outcome"]), row["offered"]

    async def finish(self, ref: JobRef, end: JobEnd, through_seq: int) -> tuple[JobOutcome, int | None, Sequence[UUID]]:
        """End a running job after its event `through_seq`.

        Return the outcome, the number of the last event that is stored, and registrations that got offers.
        """
        row = await self._row(
            _SQL["finish"].bind(
                **_named(ref),
                through_seq=through_seq,
                state=end.state,
                result=to_json(end.result),
                error=to_json(end.error),
                interrupts=to_json(end.interrupts),
            )
        )
        return JobOutcome(row["outcome"]), row["applied_through"], row["offered"]

    async def cancel(
        self,
        organization_id: UUID,
        job_id: UUID,
        reason: str | None,
        grace_seconds: float,
        *,
        by: Principal | None = None,
    ) -> tuple[CancelOutcome, UUID | None]:
        """Cancel a job. Return the outcome, and the registration to notify, if an instance has the job."""
        query = _SQL["cancel"].bind(
            **attributed(by),
            organization_id=organization_id,
            job_id=job_id,
            reason=reason,
            grace_seconds=grace_seconds,
        )
        row = await self._row(query)
        return CancelOutcome(row["outcome"]), row["registration_id"]

    async def _row(self, query: Bound) -> asyncpg.Record:
        async with translated():
            row = await self._pool.fetchrow(*query)
        assert row is not None  # noqa: S101 - one row, or an error
        return row


def _offer(row: asyncpg.Record, organization_id: UUID, registration_id: UUID, epoch: int) -> JobNotice:
    ref = JobRef(organization_id, row["job_id"], row["attempt"], registration_id, epoch)
    return JobNotice(
        ref,
        JobState.OFFERED,
        row["agent_id"],
        row["run_id"],
        row["thread_id"],
        row["input"],
        row["deadline"],
        row["accept_within"],
    )


def _named(ref: JobRef) -> dict[str, Any]:
    return {
        "organization_id": ref.organization_id,
        "job_id": ref.job_id,
        "attempt": ref.attempt,
        "registration_id": ref.registration_id,
        "epoch": ref.epoch,
    }
