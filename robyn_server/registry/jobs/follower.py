"""Follow jobs: read their states and events, woken by notifications, and once a second without them.

One read is for all followed jobs of this process. A job is read again when its reader has taken what was read before,
so a slow reader holds one page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from robyn_server.concurrency.periodic import Periodic
from robyn_server.concurrency.subscriptions import Subscriptions
from robyn_server.core.registry.jobs import FollowedJob, JobState
from robyn_server.storage.postgres.notify import ids_in
from robyn_server.storage.registry.jobs.assigned import AssignedJobs

_POLL_SECONDS = 1.0
_LONGEST_BACKOFF = 5.0
_START = (0, 0)


class JobSubscription:
    """The position of one reader in one job. Iterate over `updates`; they end with the job."""

    def __init__(self, job_id: UUID, resume: Callable[[UUID], None]) -> None:
        self.job_id = job_id
        self.position = _START
        """Attempt and seq of the last event that was read."""
        self.pending: FollowedJob | None = None
        self._resume = resume
        self._last: tuple[JobState, int, str | None] | None = None
        self._arrived = asyncio.Event()

    def add(self, job: FollowedJob) -> None:
        """Take over what was read, unless nothing has changed."""
        seen = (job.state, job.attempt, job.instance_id)
        is_news = seen != self._last or job.events or _is_last(job)
        if self.pending is not None or not is_news:
            return
        self._last = seen
        if job.events:
            self.position = (job.events[-1].attempt, job.events[-1].seq)
        self.pending = job
        self._arrived.set()

    async def updates(self) -> AsyncIterator[FollowedJob]:
        """Yield the job whenever its state has changed or it has new events. The last one has ended."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            job, self.pending = self.pending, None
            if job is None:
                continue
            if not _is_last(job):
                self._resume(self.job_id)
            yield job
            if _is_last(job):
                return


class JobFollower:
    def __init__(self, jobs: AssignedJobs) -> None:
        self._jobs = jobs
        self._reader = Periodic("job follower", self._read, _POLL_SECONDS, longest=_LONGEST_BACKOFF)
        self._subscriptions = Subscriptions[JobSubscription](self._reader.wake, _POLL_SECONDS)
        self.wake_all = self._subscriptions.wake_all

    def start(self) -> None:
        self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()

    def wake(self, payload: str) -> None:
        """Handle a notification; `payload` is a comma-separated list of job ids."""
        self._subscriptions.wake_ids(ids_in(payload))

    @contextmanager
    def subscribe(self, job_id: UUID) -> Iterator[JobSubscription]:
        """Follow a job from its first event, until the block ends. A job that does not exist has failed."""
        subscription = JobSubscription(job_id, self._subscriptions.wake_id)
        with self._subscriptions.holding(job_id, subscription):
            yield subscription

    async def _read(self) -> None:
        due = {job_id: self._position(job_id) for job_id in self._subscriptions.due()}
        positions = {job_id: position for job_id, position in due.items() if position is not None}
        if not positions:
            return
        found = {each.job_id: each for each in await self._jobs.follow(positions)}
        for job_id, position in positions.items():
            job = found.get(job_id) or _missing(job_id)
            for subscription in self._subscriptions.of(job_id):
                if subscription.position == position:
                    subscription.add(job)
                else:
                    self._subscriptions.wake_id(job_id)

    def _position(self, job_id: UUID) -> tuple[int, int] | None:
        """The smallest position among readers that have taken everything; None when none has."""
        return min((each.position for each in self._subscriptions.of(job_id) if each.pending is None), default=None)


def _is_last(job: FollowedJob) -> bool:
    return job.state.is_ended and not job.has_more


def _missing(job_id: UUID) -> FollowedJob:
    error = {"error": "job_deleted", "message": "The job was deleted, with the configuration of its agent."}
    return FollowedJob(job_id, JobState.FAILED, 1, None, (), error=error)
