"""The methods about instances. Each takes the session and its params, and answers with a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from robyn_server.core.errors import Invalid
from robyn_server.core.registry import (
    Beat,
    HealthStatus,
    InstanceFilter,
    Outcome,
    Registered,
    Registering,
    RegistrationStatus,
)
from robyn_server.core.scopes import Scope
from robyn_server.registry.outcomes import WHY, missing_registration

from .codes import Close, Code, Fault
from .held import Held
from .params import Heartbeat, Leaving, List, Register, Status, Update, Which

if TYPE_CHECKING:
    from .session import Session

_SAID = (
    "agent_id",
    "instance_id",
    "name",
    "agent_type",
    "capabilities",
    "tags",
    "zone",
    "version",
    "runtime_config",
    "idempotency_key",
)
"""What a message says of an instance, word for word."""


async def register(session: Session, given: Register) -> Mapping[str, Any]:
    tenant, asked = await _asked(session, given)
    _check_room(session, tenant, asked)
    rooms = session.hall.rooms
    with session.registering():
        registered = await rooms.instances.register(session.principal, tenant, asked, rooms.keeper_id)
        session.hold(Held(tenant, registered.registration_id, registered.epoch, asked.agent_id, registered.instance_id))
    return _registered(registered, rooms.tokens.issue(tenant, registered.registration_id))


async def _asked(session: Session, given: Register) -> tuple[UUID, Registering]:
    if given.resume_token is None:
        if given.agent_id is None:
            raise Invalid("agent_id: must be named, or a resume_token", field="agent_id")
        return session.tenant(given.tenant_id), _registering(session, given, None)
    tenant, registration_id = session.hall.rooms.tokens.read(given.resume_token)
    if given.tenant_id not in {None, tenant}:
        raise Invalid("resume_token: it is another tenant's", field="resume_token")
    session.tenant(tenant)
    known = await session.hall.rooms.instances.said(session.principal, tenant, registration_id)
    for name in ("agent_id", "instance_id"):
        if getattr(given, name) not in {None, getattr(known, name)}:
            raise Invalid(f"{name}: the resume_token is {getattr(known, name)}'s", field=name)
    return tenant, _registering(session, given, known)


def _registering(session: Session, given: Register, known: Registering | None) -> Registering:
    """What is given; else what is `known`; an instance without a name of its own is the connection."""
    said: dict[str, Any] = {name: value for name in _SAID if (value := getattr(given, name)) is not None}
    said["connection_details"] = {
        "transport": "websocket",
        "connection_id": session.connection_id,
        **(given.connection_details or {}),
    }
    said["health"] = HealthStatus(given.health)
    if known is None:
        return Registering(**{"instance_id": session.connection_id, **said})
    return replace(known, **{"idempotency_key": None, **said})


def _check_room(session: Session, tenant: UUID, asked: Registering) -> None:
    """Registering again takes no more room."""
    most, key = session.hall.limits.registrations, (tenant, asked.agent_id, asked.instance_id)
    if len(session.held) >= most and all((x.tenant, x.agent_id, x.instance_id) != key for x in session.held.values()):
        raise Fault(Code.RATE_LIMITED, f"A socket may hold {most} registrations.", reason="too_many_registrations")


def _registered(registered: Registered, resume_token: str) -> Mapping[str, Any]:
    return {
        "registration_id": registered.registration_id,
        "manifest_id": registered.manifest_id,
        "config_id": registered.config_id,
        "instance_id": registered.instance_id,
        "epoch": registered.epoch,
        "is_new": registered.is_new,
        "lease_ttl_seconds": registered.lease_ttl_seconds,
        "heartbeat_interval_seconds": registered.heartbeat_interval_seconds,
        "resume_token": resume_token,
        "message": registered.message,
    }


async def heartbeat(session: Session, given: Heartbeat) -> Mapping[str, Any]:
    held = session.which(given)
    health = None if given.health is None else HealthStatus(given.health)
    beat = Beat(held.tenant, held.registration_id, held.epoch, health, given.load, given.metrics)
    answer = await session.hall.rooms.instances.heartbeat(session.principal, beat)
    _check(session, held, answer.outcome)
    return {
        **_which(held),
        "heartbeat_interval_seconds": answer.heartbeat_interval_seconds,
        "lease_ttl_seconds": answer.lease_ttl_seconds,
    }


async def drain(session: Session, given: Leaving) -> Mapping[str, Any]:
    held = session.which(given)
    instances = session.hall.rooms.instances
    outcome = await instances.drain(session.principal, held.tenant, held.registration_id, held.epoch, given.reason)
    _check(session, held, outcome)
    return {**_which(held), "registration_status": RegistrationStatus.DRAINING}


async def deregister(session: Session, given: Leaving) -> Mapping[str, Any]:
    held = session.which(given)
    instances = session.hall.rooms.instances
    current = session.held.get(held.registration_id)
    if current == held:
        session.release(held.registration_id)  # first, or the feed would tell this socket what it has done itself
    try:
        outcome = await instances.deregister(
            session.principal, held.tenant, held.registration_id, held.epoch, given.reason
        )
    except BaseException:
        if current == held:
            session.hold(held)
        raise
    _check(session, held, outcome)
    return {**_which(held), "registration_status": RegistrationStatus.INACTIVE}


async def update(session: Session, given: Update) -> Mapping[str, Any]:
    held, change = session.which(given), given.change
    instances = session.hall.rooms.instances
    outcome = await instances.update(session.principal, held.tenant, held.registration_id, held.epoch, change)
    _check(session, held, outcome)
    return dict(await instances.get(session.principal, held.tenant, held.registration_id))


def _which(held: Held) -> dict[str, Any]:
    return {"registration_id": held.registration_id, "epoch": held.epoch}


def _check(session: Session, held: Held, outcome: Outcome) -> None:
    """Raises Fault for what is not OK. A registration that is over or somebody else's is let go; the last one closes the socket."""
    if outcome is Outcome.OK:
        return
    if outcome is Outcome.UNKNOWN:
        raise missing_registration()
    close: Close | None = Close.SUPERSEDED if outcome is Outcome.SUPERSEDED else Close.LEASE_LOST
    was_held = session.held.get(held.registration_id) == held
    if was_held:
        session.release(held.registration_id)
    raise Fault(
        Code.CONFLICT,
        WHY[outcome],
        reason=outcome.value,
        field="epoch" if outcome is Outcome.SUPERSEDED else "registration_id",
        close=close if was_held and session.is_idle else None,
    )


async def list_all(session: Session, given: List) -> Mapping[str, Any]:
    status = None if given.status is None else RegistrationStatus(given.status)
    return await _page(session, given, given.filter(status))


async def discover(session: Session, given: Which) -> Mapping[str, Any]:
    return await _page(session, given, given.filter())


async def _page(session: Session, given: Which, wanted: InstanceFilter) -> Mapping[str, Any]:
    tenant = session.tenant(given.tenant_id)
    return await session.hall.rooms.instances.search(session.principal, tenant, wanted, given.cursor, given.limit)


async def status(session: Session, given: Status) -> Mapping[str, Any]:
    if given.registration_id is None:
        return _own_state(session, given.tenant_id)
    held = session.held.get(given.registration_id)
    if held is None:
        session.principal.require(Scope.AGENTS_READ)
    elif not held.is_in(given.tenant_id):
        raise missing_registration()
    tenant = session.tenant(given.tenant_id) if held is None else held.tenant
    return dict(await session.hall.rooms.instances.get(session.principal, tenant, given.registration_id))


def _own_state(session: Session, tenant: UUID | None) -> Mapping[str, Any]:
    """`tenant`: what it has in that one; None: in all."""
    return {
        **session.who(),
        "registrations": [
            {**_which(each), "tenant_id": each.tenant, "agent_id": each.agent_id, "instance_id": each.instance_id}
            for each in session.held.values()
            if each.is_in(tenant)
        ],
        "watches": [watch_id for watch_id, each in session.watches.items() if tenant in {None, each.tenant}],
    }
