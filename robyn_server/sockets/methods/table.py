"""The methods by name, with their parameters and operations. Documentation and tests read this table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from robyn_server.core.access.permissions import Operation, require
from robyn_server.registry.instances.registration_metrics import count_failures
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
    params: type[Params]
    handler: Callable[[SessionHub, Session, Any], Awaitable[Mapping[str, Any]]]
    operation: Operation


async def _ping(_hub: SessionHub, _session: Session, _given: Params) -> Mapping[str, Any]:
    return {"pong": True}


METHODS: Mapping[str, Method] = {
    "ping": Method(Params, _ping, Operation.SOCKETS_OPEN),
    "agent.register": Method(RegisterParams, register.register, Operation.INSTANCES_REGISTER),
    "agent.heartbeat": Method(HeartbeatParams, instances.heartbeat, Operation.INSTANCES_REPORT),
    "agent.drain": Method(ReasonParams, instances.drain, Operation.INSTANCES_REPORT),
    "agent.deregister": Method(ReasonParams, instances.deregister, Operation.INSTANCES_REMOVE),
    "agent.update": Method(UpdateParams, instances.update, Operation.INSTANCES_REPORT),
    "agent.list": Method(ListParams, instances.list_all, Operation.INSTANCES_SEARCH),
    "agent.discover": Method(DiscoverParams, instances.discover, Operation.INSTANCES_SEARCH),
    "agent.status": Method(StatusParams, instances.status, Operation.SOCKETS_OPEN),
    "agent.watch": Method(WatchParams, watch.watch, Operation.INSTANCES_SEARCH),
    "agent.unwatch": Method(UnwatchParams, watch.unwatch, Operation.SOCKETS_OPEN),
    "job.accept": Method(JobParams, jobs.accept, Operation.JOBS_WORK),
    "job.reject": Method(RejectParams, jobs.reject, Operation.JOBS_WORK),
    "job.events": Method(EventsParams, jobs.events, Operation.JOBS_WORK),
    "job.extend": Method(ExtendParams, jobs.extend, Operation.JOBS_WORK),
    "job.finish": Method(FinishParams, jobs.finish, Operation.JOBS_WORK),
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
    require(session.principal, method.operation)
    params = parse(method.params, given)
    if params.tenant_id is not None:
        resolve_organization(hub, session, params.tenant_id)  # checked for methods that ignore it, too
    return await method.handler(hub, session, params)
