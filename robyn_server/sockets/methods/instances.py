"""Methods about instances. Each takes the hub, the session and its parameters, and returns a JSON object."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.registry.instances import (
    InstanceFilter,
    Outcome,
    RegistrationStatus,
)
from robyn_server.registry.outcomes import MESSAGES, missing_registration
from robyn_server.sockets.protocol.errors import CloseCode, ErrorCode, ProtocolError
from robyn_server.sockets.protocol.params import (
    DiscoverParams,
    HeartbeatParams,
    ListParams,
    ReasonParams,
    StatusParams,
    UpdateParams,
)
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.registrations import HeldRegistration
from robyn_server.sockets.sessions.session import Session

from .jobs import extend_jobs
from .organization import resolve_organization
from .registration import resolve


async def heartbeat(hub: SessionHub, session: Session, given: HeartbeatParams) -> Mapping[str, Any]:
    held = resolve(hub, session, given)
    if given.jobs is None:
        return await _heartbeat(hub, session, held, given)
    answer, jobs = await asyncio.gather(
        _heartbeat(hub, session, held, given), extend_jobs(hub, session, held, given.jobs)
    )
    return {**answer, "jobs": jobs}


async def _heartbeat(
    hub: SessionHub, session: Session, held: HeldRegistration, given: HeartbeatParams
) -> Mapping[str, Any]:
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
    held = resolve(hub, session, given)
    instances = hub.dependencies.instances
    outcome = await instances.drain(
        session.principal, held.organization_id, held.registration_id, held.epoch, given.reason
    )
    _check(hub, session, held, outcome)
    return {**held.identity(), "registration_status": RegistrationStatus.DRAINING}


async def deregister(hub: SessionHub, session: Session, given: ReasonParams) -> Mapping[str, Any]:
    held = resolve(hub, session, given)
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
    held, change = resolve(hub, session, given), given.change
    instances = hub.dependencies.instances
    outcome = await instances.update(session.principal, held.organization_id, held.registration_id, held.epoch, change)
    _check(hub, session, held, outcome)
    return dict(await instances.get(session.principal, held.organization_id, held.registration_id))


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
        require(session.principal, Operation.INSTANCES_READ)
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
