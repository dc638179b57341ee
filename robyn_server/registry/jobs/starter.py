"""Start the jobs of runs, and cancel those that a run leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import backoff
from robyn_server.core.errors import Unavailable
from robyn_server.core.registry.jobs import CancelOutcome, CreatedJob, FollowedJob, NewJob
from robyn_server.storage.postgres.notify import Notifier
from robyn_server.storage.registry.jobs.assigned import AssignedJobs
from robyn_server.storage.registry.jobs.jobs import JOBS, OFFERS, Jobs

from .follower import JobFollower

CANCEL_GRACE_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class JobStarter:
    """A job belongs to its run, not to the worker that started it: another worker goes on with the same job."""

    def __init__(self, jobs: Jobs, assigned: AssignedJobs, follower: JobFollower, notifier: Notifier) -> None:
        self._jobs = jobs
        self._assigned = assigned
        self._follower = follower
        self._notifier = notifier

    async def follow(self, job: NewJob) -> AsyncIterator[FollowedJob]:
        """Start the job, unless it exists, and yield it whenever it changes. The last one has ended.

        A reader that goes away leaves the job as it is. While the database cannot be reached, it waits: the lease and
        the timeout of the run are its limits. Raises Forbidden (the agent is disabled), Invalid.
        """
        created = await self._create(job)
        self._notifier.notify(OFFERS, map(str, created.offered))
        with self._follower.subscribe(job.job_id) as subscription:
            async for update in subscription.updates():
                yield update

    async def _create(self, job: NewJob) -> CreatedJob:
        """Repeat the creation until the database answers. One whose answer was lost finds the job that exists."""
        failures = 0
        while True:
            try:
                return await self._jobs.create(job)
            except Unavailable as error:
                failures += 1
                _log.warning("a job waits for the database", error=error.detail, in_a_row=failures)
                await asyncio.sleep(backoff(failures, 0.1))

    async def cancel_of_run(self, run_id: UUID, reason: str) -> None:
        """Cancel the jobs that a run has left open. Raises Unavailable."""
        await self.cancel_all(await self._assigned.list_of_run(run_id), reason)

    async def cancel_all(self, jobs: Iterable[tuple[UUID, UUID]], reason: str) -> None:
        """Cancel jobs, each given by organization and id. Raises Unavailable."""
        for organization_id, job_id in jobs:
            outcome, registration_id = await self._jobs.cancel(organization_id, job_id, reason, CANCEL_GRACE_SECONDS)
            if registration_id is not None:
                self._notifier.notify(OFFERS, [str(registration_id)])
            if outcome is CancelOutcome.CANCELLED:
                self._notifier.notify(JOBS, [str(job_id)])
            _log.info("job cancelled", job_id=str(job_id), outcome=outcome, reason=reason)
