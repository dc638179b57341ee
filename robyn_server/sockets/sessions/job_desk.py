"""The registrations of this process that take jobs: what they were told, and the jobs that they run.

Rules
  1. A notice is sent once. A session that registers gets it after the reply that tells it its epoch.
  2. An instance is told of a job that it lost: by a notice, or because the job is not found any more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from robyn_server.core.registry.jobs import JobNotice, JobRef, JobState

from . import job_notices
from .job_notices import NoticeKind
from .registrations import HeldRegistration
from .session import Session

NoticeKey = tuple[UUID, int, NoticeKind]


@dataclass(slots=True)
class JobHolder:
    """`told`: the notices that were sent and still stand. `running`: attempts of accepted jobs."""

    session: Session
    held: HeldRegistration
    slots: int
    told: set[NoticeKey] = field(default_factory=set)
    running: dict[UUID, int] = field(default_factory=dict)

    def ref(self, job_id: UUID, attempt: int) -> JobRef:
        held = self.held
        return JobRef(held.organization_id, job_id, attempt, held.registration_id, held.epoch)


class JobDesk:
    def __init__(self) -> None:
        self._holders: dict[UUID, JobHolder] = {}

    @property
    def registration_ids(self) -> Collection[UUID]:
        return self._holders.keys()

    def open(self, session: Session, held: HeldRegistration, slots: int) -> None:
        """Deliver notices to this registration from now on."""
        self.close(session, held.registration_id)
        self._holders[held.registration_id] = JobHolder(session, held, slots)
        session.change_slots(slots)

    def close(self, session: Session, registration_id: UUID) -> None:
        holder = self._holders.get(registration_id)
        if holder is not None and holder.session is session:
            session.change_slots(-holder.slots)
            del self._holders[registration_id]

    def add_running(self, ref: JobRef) -> None:
        if (holder := self._find(ref)) is not None:
            holder.running[ref.job_id] = ref.attempt

    def remove_running(self, ref: JobRef) -> bool:
        """Return whether the job was running here."""
        holder = self._find(ref)
        if holder is None or holder.running.get(ref.job_id) != ref.attempt:
            return False
        del holder.running[ref.job_id]
        return True

    def list_running(self) -> list[JobRef]:
        return [holder.ref(*job) for holder in self._holders.values() for job in holder.running.items()]

    def lose(self, ref: JobRef, state: JobState | None) -> None:
        """Tell an instance that it has lost a job, unless it knows. `state`: the job's own; None: it was deleted."""
        holder = self._find(ref)
        if holder is not None and self.remove_running(ref):
            job_notices.notify_lost(holder.session, holder.held, ref, state)

    def deliver(self, registration_ids: Collection[UUID], notices: Sequence[JobNotice]) -> None:
        told: dict[UUID, set[NoticeKey]] = {each: set() for each in registration_ids}
        for notice in notices:
            holder = self._find(notice.ref)
            if holder is not None:
                key = (notice.ref.job_id, notice.ref.attempt, job_notices.kind_of(notice))
                told[notice.ref.registration_id].add(key)
                if key not in holder.told:
                    self._tell(holder, notice)
        for registration_id, keys in told.items():
            if registration_id in self._holders:
                self._holders[registration_id].told = keys

    def _tell(self, holder: JobHolder, notice: JobNotice) -> None:
        kind = job_notices.kind_of(notice)
        if kind is NoticeKind.OFFER:
            job_notices.notify_offer(holder.session, holder.held, notice)
        elif kind is NoticeKind.CANCEL:
            job_notices.notify_cancel(holder.session, holder.held, notice)
        else:
            self.remove_running(notice.ref)
            job_notices.notify_lost(holder.session, holder.held, notice.ref, notice.state)

    def _find(self, ref: JobRef) -> JobHolder | None:
        """The holder of this registration and epoch."""
        holder = self._holders.get(ref.registration_id)
        return holder if holder is not None and holder.held.epoch == ref.epoch else None
