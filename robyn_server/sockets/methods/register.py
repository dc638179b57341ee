"""The method that registers an instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from robyn_server.core.errors import Invalid
from robyn_server.core.registry.instances import HealthStatus, Registration, RegistrationRequest
from robyn_server.core.registry.jobs import JobRef
from robyn_server.sockets.protocol.errors import ErrorCode, ProtocolError
from robyn_server.sockets.protocol.params import RegisterParams
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.registrations import HeldRegistration
from robyn_server.sockets.sessions.session import Session

from .organization import resolve_organization

_INSTANCE_FIELDS = (
    "agent_id",
    "instance_id",
    "name",
    "agent_type",
    "capabilities",
    "tags",
    "zone",
    "version",
    "runtime_config",
    "connection_details",
    "idempotency_key",
    "drain_reason",
)
"""Parameters that are stored as they are given."""


async def register(hub: SessionHub, session: Session, given: RegisterParams) -> Mapping[str, Any]:
    if given.jobs and given.slots is None:
        raise Invalid("slots: must be named with jobs", field="slots")
    organization_id, request = await _resolve_request(hub, session, given)
    _check_limit(hub, session, organization_id, request)
    with hub.registering(session):
        registration = await hub.dependencies.instances.register(session.principal, organization_id, request)
        held = HeldRegistration(
            organization_id,
            registration.registration_id,
            registration.epoch,
            request.agent_id,
            registration.instance_id,
        )
        hub.claim(session, held)
        jobs = (
            {}
            if given.slots is None
            else {"jobs": await _open_slots(hub, session, held, given.slots, given.jobs or ())}
        )
    token = hub.dependencies.resume_tokens.issue(organization_id, registration.registration_id)
    return {**_render(registration, token), **jobs}


async def _open_slots(
    hub: SessionHub, session: Session, held: HeldRegistration, slots: int, job_ids: Sequence[UUID]
) -> list[Mapping[str, Any]]:
    """State the slots, and return the jobs that go on. Offers wait for the reply."""
    session.registered_now.add(held.registration_id)
    hub.jobs.open(session, held, max(slots, len(job_ids)))
    opened = await hub.dependencies.instance_jobs.open_slots(
        session.principal, held.organization_id, held.registration_id, held.epoch, slots, job_ids, polls=False
    )
    for job in opened.continued:
        ref = JobRef(held.organization_id, job.job_id, job.attempt, held.registration_id, held.epoch)
        hub.jobs.add_running(ref)
    return [job.to_dict() for job in opened.continued]


async def _resolve_request(
    hub: SessionHub, session: Session, given: RegisterParams
) -> tuple[UUID, RegistrationRequest]:
    if given.resume_token is None:
        if given.agent_id is None:
            raise Invalid("agent_id: must be named, or a resume_token", field="agent_id")
        return resolve_organization(hub, session, given.tenant_id), _registration_request(session, given, None)
    organization_id, registration_id = hub.dependencies.resume_tokens.read(given.resume_token)
    if given.tenant_id not in {None, organization_id}:
        raise Invalid("resume_token: it belongs to another organization", field="resume_token")
    resolve_organization(hub, session, organization_id)
    last = await hub.dependencies.instances.last_request(session.principal, organization_id, registration_id)
    for name in ("agent_id", "instance_id"):
        if getattr(given, name) not in {None, getattr(last, name)}:
            raise Invalid(f"{name}: the resume_token is {getattr(last, name)}'s", field=name)
    return organization_id, _registration_request(session, given, last)


def _registration_request(
    session: Session, given: RegisterParams, last: RegistrationRequest | None
) -> RegistrationRequest:
    """The given fields.

    `last` names the instance, whose other fields stay. The connection id is the default instance id.
    """
    fields: dict[str, Any] = {name: value for name in _INSTANCE_FIELDS if (value := getattr(given, name)) is not None}
    fields["connection_defaults"] = {"transport": "websocket", "connection_id": session.connection_id}
    fields["health"] = HealthStatus(given.health)
    if last is None:
        return RegistrationRequest(**{"instance_id": session.connection_id, **fields})
    return RegistrationRequest(**{**fields, "agent_id": last.agent_id, "instance_id": last.instance_id})


def _check_limit(hub: SessionHub, session: Session, organization_id: UUID, request: RegistrationRequest) -> None:
    """Registering again takes no further slot."""
    limit, key = hub.limits.registrations, (organization_id, request.agent_id, request.instance_id)
    if len(session.registrations) >= limit and all(
        (x.organization_id, x.agent_id, x.instance_id) != key for x in session.registrations.values()
    ):
        raise ProtocolError(
            ErrorCode.RATE_LIMITED, f"A socket may hold {limit} registrations.", reason="too_many_registrations"
        )


def _render(registration: Registration, resume_token: str) -> Mapping[str, Any]:
    return {
        "registration_id": registration.registration_id,
        "manifest_id": registration.manifest_id,
        "config_id": registration.config_id,
        "instance_id": registration.instance_id,
        "epoch": registration.epoch,
        "is_new": registration.is_new,
        "lease_ttl_seconds": registration.lease_ttl_seconds,
        "heartbeat_interval_seconds": registration.heartbeat_interval_seconds,
        "resume_token": resume_token,
        "message": registration.message,
    }
