"""Notifications about jobs: an offer, a cancellation, a job that was lost."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from robyn_server.core.registry.jobs import JobNotice, JobRef, JobState
from robyn_server.registry.jobs.job_view import render_job

from .registrations import HeldRegistration
from .session import Session

_LOST = {
    JobState.CANCELLED: "the job was cancelled, and did not stop in time",
    JobState.EXPIRED: "the deadline of the job has passed",
}


class NoticeKind(StrEnum):
    OFFER = "offer"
    CANCEL = "cancel"
    LOST = "lost"


def kind_of(notice: JobNotice) -> NoticeKind:
    if notice.state is JobState.OFFERED:
        return NoticeKind.OFFER
    return NoticeKind.LOST if notice.state.is_ended else NoticeKind.CANCEL


def notify_offer(session: Session, held: HeldRegistration, notice: JobNotice) -> None:
    """The instance accepts or rejects the job."""
    params = {**held.identity(), "job": render_job(notice)}
    session.send_about(held.registration_id, session.render("job.offer", params))


def notify_cancel(session: Session, held: HeldRegistration, notice: JobNotice) -> None:
    """The instance stops the job, and finishes it as cancelled."""
    grace = 0.0 if notice.cancel_within is None else round(max(notice.cancel_within, 0.0), 3)
    more = {"reason": notice.cancel_reason, "grace_seconds": grace}
    _notify(session, held, "job.cancel", notice.ref, more)


def notify_lost(session: Session, held: HeldRegistration, ref: JobRef, state: JobState | None) -> None:
    """The instance stops the job, and does not finish it."""
    reason = _LOST.get(state, "its lease ended") if state is not None else "the job was deleted"
    _notify(session, held, "job.lost", ref, {"reason": reason})


def _notify(session: Session, held: HeldRegistration, method: str, ref: JobRef, more: dict[str, Any]) -> None:
    params = {**held.identity(), "job_id": ref.job_id, "attempt": ref.attempt, **more}
    session.send_about(held.registration_id, session.render(method, params))
