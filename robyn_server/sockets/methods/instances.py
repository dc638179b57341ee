"""Methods about instances. Each takes the hub, the session and its parameters, and returns a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.access.scopes import Scope
from robyn_server.core.errors import Invalid
from robyn_server.core.registry.instances import (
    HealthStatus,
    InstanceFilter,
    Outcome,
    Registration,
    RegistrationRequest,
    RegistrationStatus,
)
from robyn_server.registry.outcomes import MESSAGES, missing_registration
from robyn_server.sockets.protocol.errors import CloseCode, ErrorCode, ProtocolError
from robyn_server.sockets.protocol.params import (
    DiscoverParams,
    HeartbeatParams,
    ListParams,
    ReasonParams,
    RegisterParams,
    RegistrationParams,
    StatusParams,
    UpdateParams,
)
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.registrations import HeldRegistration, resolve_registration
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
)
"""Parameters that are stored as they are given."""


async def register(hub: SessionHub, session: Session, given: RegisterParams) -> Mapping[str, Any]:
    organization_id, request = await _resolve_request(hub, session, given)
    _check_limit(hub, session, organization_id, request)
    with hub.registering(session):
        registration = await hub.dependencies.instances.register(session.principal, organization_id, request)
        hub.claim(
            session,
            HeldRegistration(
                organization_id,
                registration.registration_id,
                registration.epoch,
                request.agent_id,
                registration.instance_id,
            ),
        )
    return _render(registration, hub.dependencies.resume_tokens.issue(organization_id, registration.registration_id))


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


async def heartbeat(hub: SessionHub, session: Session, given: HeartbeatParams) -> Mapping[str, Any]:
    held = _resolve(hub, session, given)
    heartbeat = given.heartbeat(held.organization_id, held.registration_id, held.epoch)
    result = await hub.dependencies.instances.heartbeat(session.principal, heartbeat)
    _check(hub, session, held, result.outcome)
    return {
        **held.identity(),
        "heartbeat_interval_seconds": result.heartbeat_interval_seconds,
        "lease_ttl_seconds": result.lease_ttl_seconds,
        "enabled": result.enabled,
        "cordoned": result.cordoned,
    }


async def drain(hub: SessionHub, session: Session, given: ReasonParams) -> Mapping[str, Any]:
    held = _resolve(hub, session, given)
    instances = hub.dependencies.instances
    outcome = await instances.drain(
        session.principal, held.organization_id, held.registration_id, held.epoch, given.reason
    )
    _check(hub, session, held, outcome)
    return {**held.identity(), "registration_status": RegistrationStatus.DRAINING}


async def deregister(hub: SessionHub, session: Session, given: ReasonParams) -> Mapping[str, Any]:
    held = _resolve(hub, session, given)
    instances = hub.dependencies.instances
    current = session.registrations.get(held.registration_id)
    if current == held:
        hub.release(session, held.registration_id)  # first, or this socket would be notified of its own request
    try:
        outcome = await instances.deregister(
            session.principal, held.organization_id, held.registration_id, held.epoch, given.reason
        )
    except BaseException:
        if current == held:
            hub.claim(session, held)
        raise
    _check(hub, session, held, outcome)
    return {**held.identity(), "registration_status": RegistrationStatus.INACTIVE}


async def update(hub: SessionHub, session: Session, given: UpdateParams) -> Mapping[str, Any]:
    held, change = _resolve(hub, session, given), given.change
    instances = hub.dependencies.instances
    outcome = await instances.update(session.principal, held.organization_id, held.registration_id, held.epoch, change)
    _check(hub, session, held, outcome)
    return dict(await instances.get(session.principal, held.organization_id, held.registration_id))


def _resolve(hub: SessionHub, session: Session, given: RegistrationParams) -> HeldRegistration:
    return resolve_registration(session.registrations, given, lambda named: resolve_organization(hub, session, named))


def _check(hub: SessionHub, session: Session, held: HeldRegistration, outcome: Outcome) -> None:
    """Raise for any outcome but OK.

    A registration that has ended or was superseded is released; the last one closes the socket.
    """
    if outcome is Outcome.OK:
        return
    if outcome is Outcome.UNKNOWN:
        raise missing_registration()
    close: CloseCode | None = CloseCode.SUPERSEDED if outcome is Outcome.SUPERSEDED else CloseCode.LEASE_LOST
    was_held = session.registrations.get(held.registration_id) == held
    if was_held:
        hub.release(session, held.registration_id)
    raise ProtocolError(
        ErrorCode.CONFLICT,
        MESSAGES[outcome],
        reason=outcome.value,
        field="epoch" if outcome is Outcome.SUPERSEDED else "registration_id",
        close=close if was_held and session.is_idle else None,
    )


async def list_all(hub: SessionHub, session: Session, given: ListParams) -> Mapping[str, Any]:
    status = None if given.status is None else RegistrationStatus(given.status)
    return await _page(hub, session, given, given.filter(status))


async def discover(hub: SessionHub, session: Session, given: DiscoverParams) -> Mapping[str, Any]:
    return await _page(hub, session, given, given.filter())


async def _page(
    hub: SessionHub, session: Session, given: DiscoverParams, instance_filter: InstanceFilter
) -> Mapping[str, Any]:
    organization_id = resolve_organization(hub, session, given.tenant_id)
    # Read before the list, so that watching from this position misses nothing.
    position = await hub.dependencies.instance_events.last_position()
    page = await hub.dependencies.instances.search(
        session.principal, organization_id, instance_filter, given.cursor, given.limit
    )
    return {**page, "position": position}


async def status(hub: SessionHub, session: Session, given: StatusParams) -> Mapping[str, Any]:
    if given.registration_id is None:
        return _own_state(session, given.tenant_id)
    held = session.registrations.get(given.registration_id)
    if held is None:
        session.principal.require(Scope.AGENTS_READ)
    elif not held.belongs_to(given.tenant_id):
        raise missing_registration()
    organization_id = resolve_organization(hub, session, given.tenant_id) if held is None else held.organization_id
    return dict(await hub.dependencies.instances.get(session.principal, organization_id, given.registration_id))


def _own_state(session: Session, organization_id: UUID | None) -> Mapping[str, Any]:
    """The session's state in one organization; None: in all."""
    return {
        **session.whoami(),
        "registrations": [
            {
                **each.identity(),
                "tenant_id": each.organization_id,
                "agent_id": each.agent_id,
                "instance_id": each.instance_id,
            }
            for each in session.registrations.values()
            if each.belongs_to(organization_id)
        ],
        "watches": [
            watch_id for watch_id, each in session.watches.items() if organization_id in {None, each.organization_id}
        ],
    }
