"""Polls of instances without a WebSocket: they ask for jobs, and wait for them.

A poll that waits holds no connection to the database. A notification wakes it, or the reader once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.registry.instances import Outcome
from robyn_server.core.registry.jobs import JobNotice, JobState
from robyn_server.registry.instances.bound_agents import BoundAgents
from robyn_server.registry.jobs.announcer import JobAnnouncer
from robyn_server.registry.organizations import ensure_member
from robyn_server.registry.outcomes import raise_for_outcome
from robyn_server.storage.registry.jobs.jobs import Jobs


@dataclass(frozen=True, slots=True)
class PollRequest:
    organization_id: UUID
    registration_id: UUID
    epoch: int
    max_jobs: int
    wait_seconds: float


class PollWaiters:
    """The polls of this process that wait, and a signal for each."""

    def __init__(self) -> None:
        self._signals: dict[UUID, set[asyncio.Event]] = {}

    @property
    def registration_ids(self) -> Collection[UUID]:
        return self._signals.keys()

    def deliver(self, _registration_ids: Collection[UUID], notices: Sequence[JobNotice]) -> None:
        for notice in notices:
            if notice.state is JobState.OFFERED:
                for signal in self._signals.get(notice.ref.registration_id, ()):
                    signal.set()

    def add(self, registration_id: UUID, signal: asyncio.Event) -> None:
        self._signals.setdefault(registration_id, set()).add(signal)

    def remove(self, registration_id: UUID, signal: asyncio.Event) -> None:
        waiting = self._signals[registration_id]
        waiting.remove(signal)
        if not waiting:
            del self._signals[registration_id]


@dataclass(slots=True)
class JobPoll:
    """A poll that has begun. `offers`: those that it got at once."""

    request: PollRequest
    offers: list[JobNotice]
    _jobs: Jobs
    _waiters: PollWaiters
    _signal: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        return bool(self.offers) or not self.request.wait_seconds

    async def wait(self) -> list[JobNotice]:
        """Wait for offers. The list is empty when there were none in time. Raises Unavailable."""
        registration_id = self.request.registration_id
        self._waiters.add(registration_id, self._signal)
        try:
            async with asyncio.timeout(self.request.wait_seconds):
                while not self.offers:
                    await self._signal.wait()
                    self._signal.clear()
                    self.offers = await self._take(is_last=False)
        except TimeoutError:
            self.offers = await self._take(is_last=True)
        finally:
            self._waiters.remove(registration_id, self._signal)
        return self.offers

    async def finish(self) -> list[JobNotice]:
        """End the poll, and take what is offered now. Raises Unavailable."""
        return await self._take(is_last=True)

    async def abandon(self) -> None:
        """End the poll, because its client has gone. Raises Unavailable."""
        request = self.request
        await self._jobs.end_poll(request.organization_id, request.registration_id, request.epoch, request.max_jobs)

    async def _take(self, *, is_last: bool) -> list[JobNotice]:
        request = self.request
        return await self._jobs.take(
            request.organization_id, request.registration_id, request.epoch, request.max_jobs, is_last=is_last
        )


class JobPollService:
    def __init__(self, jobs: Jobs, bound: BoundAgents, waiters: PollWaiters, announcer: JobAnnouncer) -> None:
        self._jobs = jobs
        self._bound = bound
        self._waiters = waiters
        self._announcer = announcer

    async def begin(self, principal: Principal, request: PollRequest) -> JobPoll:
        """Ask for offers, and take those that there are. The caller waits for others, or abandons the poll.

        Raises Forbidden (no member, a key of other agents), Conflict (superseded), Gone (must_register), Unavailable.
        """
        organization_id, registration_id = request.organization_id, request.registration_id
        ensure_member(principal, organization_id)
        await self._bound.ensure_writable(principal, organization_id, registration_id)
        claimed = await self._jobs.claim(
            organization_id, registration_id, request.epoch, request.max_jobs, request.wait_seconds
        )
        raise_for_outcome(Outcome(claimed.outcome))
        self._announcer.changed(claimed.changed)
        self._announcer.offered(claimed.offered)
        poll = JobPoll(request, [], self._jobs, self._waiters)
        poll.offers = await poll._take(is_last=not request.wait_seconds)  # noqa: SLF001 - it is made here
        return poll
