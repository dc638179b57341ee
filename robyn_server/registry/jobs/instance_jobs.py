"""Use cases of instances: they state their slots, and accept, report, extend and end their jobs.

Rules
  1. The principal must be a member of the organization, and its key must not be bound to other agents.
  2. A message names the job, its attempt, the registration and its epoch. One that does not match all four, or the
     organization, is fenced and changes nothing.
  3. After a commit, other processes hear of it: followers when a job has events or ends, and instances when they get an
     offer. An acceptance changes nothing for a follower.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Conflict
from robyn_server.core.registry.instances import Outcome
from robyn_server.core.registry.job_events import JobEvents
from robyn_server.core.registry.jobs import ExtendedJob, JobEnd, JobOutcome, JobRef, OpenedSlots
from robyn_server.registry.instances.bound_agents import BoundAgents
from robyn_server.registry.organizations import ensure_member
from robyn_server.registry.outcomes import raise_for_outcome
from robyn_server.storage.registry.jobs.jobs import Jobs

from .announcer import JobAnnouncer
from .event_batcher import EventBatcher
from .fencing import fenced
from .lease_extender import LeaseExtender


class InstanceJobService:
    """Every method raises Forbidden by rule 1, and Unavailable. Those about a job raise Conflict: fenced by rule 2."""

    def __init__(
        self,
        jobs: Jobs,
        bound: BoundAgents,
        events: EventBatcher,
        extender: LeaseExtender,
        announcer: JobAnnouncer,
    ) -> None:
        self._jobs = jobs
        self._bound = bound
        self._events = events
        self._extender = extender
        self._announcer = announcer

    async def open_slots(
        self,
        principal: Principal,
        organization_id: UUID,
        registration_id: UUID,
        epoch: int,
        slots: int,
        job_ids: Sequence[UUID],
        *,
        polls: bool,
    ) -> OpenedSlots:
        """State the slots of a registration, and the jobs that go on from earlier epochs.

        `polls`: it gets offers only when it claims them. Raises Conflict (superseded), Gone (must_register).
        """
        await self._ensure_writable(principal, organization_id, registration_id)
        opened = await self._jobs.open_slots(organization_id, registration_id, epoch, slots, job_ids, polls=polls)
        raise_for_outcome(Outcome(opened.outcome))
        self._announcer.changed(opened.changed)
        self._announcer.offered(opened.offered)
        return opened

    async def accept(self, principal: Principal, ref: JobRef) -> float:
        """Accept an offer. Accepting again is no error. Return for how many seconds the instance has the job."""
        await self._ensure_writable(principal, ref.organization_id, ref.registration_id)
        outcome, lease_seconds = await self._jobs.accept(ref)
        _ensure_ok(outcome)
        return lease_seconds

    async def reject(self, principal: Principal, ref: JobRef, reason: str | None) -> None:
        """Reject an offer, or hand a running job back. A fenced one that had to stop frees its slot."""
        await self._ensure_writable(principal, ref.organization_id, ref.registration_id)
        outcome, offered = await self._jobs.reject(ref, reason)
        self._announcer.changed([ref.job_id])
        self._announcer.offered(offered)
        _ensure_ok(outcome)

    async def append_events(self, principal: Principal, message: JobEvents) -> int:
        """Store events, and return the number of the last one that is stored: a lower one if earlier are missing.

        Raises TooMany (the window is exceeded), Invalid.
        """
        await self._ensure_writable(principal, message.ref.organization_id, message.ref.registration_id)
        return await self._events.submit(message)

    async def extend(self, principal: Principal, refs: Sequence[JobRef]) -> list[ExtendedJob]:
        """Extend the leases of jobs of one registration. Return one result for each; none is raised as fenced."""
        if refs:
            await self._ensure_writable(principal, refs[0].organization_id, refs[0].registration_id)
        return await self._extender.extend(refs)

    async def finish(self, principal: Principal, ref: JobRef, end: JobEnd, through_seq: int) -> None:
        """End a running job after its event `through_seq`. Raises Conflict (events_missing) without that event."""
        await self._ensure_writable(principal, ref.organization_id, ref.registration_id)
        outcome, applied_through, offered = await self._jobs.finish(ref, end, through_seq)
        if outcome is JobOutcome.GAP:
            raise _events_missing(applied_through or 0)
        self._announcer.changed([ref.job_id])
        self._announcer.offered(offered)
        _ensure_ok(outcome)

    async def _ensure_writable(self, principal: Principal, organization_id: UUID, registration_id: UUID) -> None:
        ensure_member(principal, organization_id)
        await self._bound.ensure_writable(principal, organization_id, registration_id)


def _ensure_ok(outcome: JobOutcome) -> None:
    if outcome is not JobOutcome.OK:
        raise fenced()


def _events_missing(applied_through: int) -> Conflict:
    return Conflict(
        f"Events after {applied_through} are missing. Send them, and finish again.",
        code="events_missing",
        field="through_seq",
    )
