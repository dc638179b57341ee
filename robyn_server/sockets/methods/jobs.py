"""Methods about jobs. Each takes the hub, the session and its parameters, and returns a JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from robyn_server.core.errors import TooMany
from robyn_server.core.registry.job_events import JobEvents
from robyn_server.core.registry.jobs import JobOutcome, JobRef
from robyn_server.registry.jobs.fencing import is_fenced
from robyn_server.registry.jobs.schemas import NamedJob
from robyn_server.sockets.protocol.errors import ErrorCode, ProtocolError
from robyn_server.sockets.protocol.job_params import EventsParams, ExtendParams, FinishParams, JobParams, RejectParams
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.registrations import HeldRegistration
from robyn_server.sockets.sessions.session import Session

from .registration import resolve


async def accept(hub: SessionHub, session: Session, given: JobParams) -> Mapping[str, Any]:
    ref = _ref(hub, session, given)
    lease_seconds = await hub.dependencies.instance_jobs.accept(session.principal, ref)
    hub.jobs.add_running(ref)
    return {**_name(ref), "lease_seconds": lease_seconds}


async def reject(hub: SessionHub, session: Session, given: RejectParams) -> Mapping[str, Any]:
    ref = _ref(hub, session, given)
    with _ending(hub, ref):
        await hub.dependencies.instance_jobs.reject(session.principal, ref, given.reason)
    return _name(ref)


async def events(hub: SessionHub, session: Session, given: EventsParams) -> Mapping[str, Any]:
    ref = _ref(hub, session, given)
    message = JobEvents(ref, given.first_seq, given.sent)
    try:
        applied_through = await hub.dependencies.instance_jobs.append_events(session.principal, message)
    except TooMany as error:
        # The client sends them again when earlier events are acknowledged.
        raise ProtocolError(
            ErrorCode.RATE_LIMITED, error.detail, reason=error.code, field=error.field, retryable=True
        ) from None
    return {**_name(ref), "applied_through": applied_through}


async def extend(hub: SessionHub, session: Session, given: ExtendParams) -> Mapping[str, Any]:
    held = resolve(hub, session, given)
    return {"jobs": await extend_jobs(hub, session, held, given.jobs)}


async def extend_jobs(
    hub: SessionHub, session: Session, held: HeldRegistration, jobs: Sequence[NamedJob]
) -> list[dict[str, Any]]:
    """Extend the leases of these jobs, and return the outcome of each."""
    refs = [_ref_of(held, each) for each in jobs]
    extended = await hub.dependencies.instance_jobs.extend(session.principal, refs)
    for ref, result in zip(refs, extended, strict=True):
        if result.outcome is not JobOutcome.OK:
            hub.jobs.remove_running(ref)  # the answer tells the instance
    return [each.to_dict() for each in extended]


async def finish(hub: SessionHub, session: Session, given: FinishParams) -> Mapping[str, Any]:
    ref, end = _ref(hub, session, given), given.end
    with _ending(hub, ref):
        await hub.dependencies.instance_jobs.finish(session.principal, ref, end, given.through_seq)
    return _name(ref)


@contextmanager
def _ending(hub: SessionHub, ref: JobRef) -> Iterator[None]:
    """Forget that the job runs: first, or its instance would be told that it lost the job.

    A message that has changed nothing leaves the job running.
    """
    was_running = hub.jobs.remove_running(ref)
    try:
        yield
    except BaseException as error:
        if was_running and not is_fenced(error):
            hub.jobs.add_running(ref)
        raise


def _ref(hub: SessionHub, session: Session, given: JobParams) -> JobRef:
    return _ref_of(resolve(hub, session, given), given)


def _ref_of(held: HeldRegistration, job: JobParams | NamedJob) -> JobRef:
    return JobRef(held.organization_id, job.job_id, job.attempt, held.registration_id, held.epoch)


def _name(ref: JobRef) -> dict[str, Any]:
    return {"job_id": ref.job_id, "attempt": ref.attempt}
