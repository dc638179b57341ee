"""The methods by name, with their parameters and required scopes. Documentation and tests read this table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from robyn_server.core.access.scopes import Scope
from robyn_server.registry.registration_metrics import count_failures
from robyn_server.sockets.protocol.errors import ErrorCode, ProtocolError
from robyn_server.sockets.protocol.job_params import EventsParams, ExtendParams, FinishParams, JobParams, RejectParams
from robyn_server.sockets.protocol.params import (
    DiscoverParams,
    HeartbeatParams,
    ListParams,
    Params,
    ReasonParams,
    RegisterParams,
    StatusParams,
    UnwatchParams,
    UpdateParams,
    WatchParams,
    parse,
)
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.session import Session

from . import instances, jobs, register, watch
from .organization import resolve_organization

AUTH = ("auth", "authenticate")


@dataclass(frozen=True, slots=True)
class Method:
    """`scope` None: any principal may call it."""

    params: type[Params]
    handler: Callable[[SessionHub, Session, Any], Awaitable[Mapping[str, Any]]]
    scope: Scope | None


async def _ping(_hub: SessionHub, _session: Session, _given: Params) -> Mapping[str, Any]:
    return {"pong": True}


METHODS: Mapping[str, Method] = {
    "ping": Method(Params, _ping, None),
    "agent.register": Method(RegisterParams, register.register, Scope.AGENTS_REGISTER),
    "agent.heartbeat": Method(HeartbeatParams, instances.heartbeat, Scope.AGENTS_REGISTER),
    "agent.drain": Method(ReasonParams, instances.drain, Scope.AGENTS_REGISTER),
    "agent.deregister": Method(ReasonParams, instances.deregister, Scope.AGENTS_REGISTER),
    "agent.update": Method(UpdateParams, instances.update, Scope.AGENTS_REGISTER),
    "agent.list": Method(ListParams, instances.list_all, Scope.AGENTS_READ),
    "agent.discover": Method(DiscoverParams, instances.discover, Scope.AGENTS_READ),
    "agent.status": Method(StatusParams, instances.status, None),
    "agent.watch": Method(WatchParams, watch.watch, Scope.AGENTS_READ),
    "agent.unwatch": Method(UnwatchParams, watch.unwatch, None),
    "job.accept": Method(JobParams, jobs.accept, Scope.AGENTS_REGISTER),
    "job.reject": Method(RejectParams, jobs.reject, Scope.AGENTS_REGISTER),
    "job.events": Method(EventsParams, jobs.events, Scope.AGENTS_REGISTER),
    "job.extend": Method(ExtendParams, jobs.extend, Scope.AGENTS_REGISTER),
    "job.finish": Method(FinishParams, jobs.finish, Scope.AGENTS_REGISTER),
}

JOB_METHODS = frozenset(name for name in METHODS if name.startswith("job."))
"""Methods whose messages are answered beside others, in order for each job."""


FAILURE_COUNTERS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {"agent.register": count_failures}


def count_failures_of(method: str) -> AbstractContextManager[None]:
    """A context that counts failures of the method, those of its credentials included."""
    return FAILURE_COUNTERS.get(method, nullcontext)()


async def call(hub: SessionHub, session: Session, name: str, given: dict[str, Any]) -> Mapping[str, Any]:
    """Check scope, parameters and organization, and call the method.

    Raises ProtocolError for an unknown method, Forbidden without the scope or for a foreign organization, Invalid for
    wrong parameters, and what the method raises.
    """
    method = METHODS.get(name)
    if method is None:
        known = ", ".join((*AUTH, *METHODS))
        raise ProtocolError(
            ErrorCode.UNKNOWN_METHOD,
            f"{name[:64]!r} is no method; there are {known}",
            reason="unknown_method",
            field="method",
        )
    if method.scope is not None:
        session.principal.require(method.scope)
    params = parse(method.params, given)
    if params.tenant_id is not None:
        resolve_organization(hub, session, params.tenant_id)  # checked for methods that ignore it, too
    return await method.handler(hub, session, params)
