"""The methods by name: what each takes, which scope it asks for, and what it answers. Docs and tests read this table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robyn_server.core.scopes import Scope
from robyn_server.registry.counted import counting_refusals

from . import instances, watches
from .codes import Code, Fault
from .params import Heartbeat, Leaving, List, Params, Register, Status, Unwatch, Update, Watch, Which, parse

if TYPE_CHECKING:
    from .session import Session

AUTH = ("auth", "authenticate")


@dataclass(frozen=True, slots=True)
class Method:
    """`scope` None: any principal may."""

    params: type[Params]
    answer: Callable[[Session, Any], Awaitable[Mapping[str, Any]]]
    scope: Scope | None


async def _ping(_session: Session, _given: Params) -> Mapping[str, Any]:
    return {"pong": True}


METHODS: Mapping[str, Method] = {
    "ping": Method(Params, _ping, None),
    "agent.register": Method(Register, instances.register, Scope.AGENTS_REGISTER),
    "agent.heartbeat": Method(Heartbeat, instances.heartbeat, Scope.AGENTS_REGISTER),
    "agent.drain": Method(Leaving, instances.drain, Scope.AGENTS_REGISTER),
    "agent.deregister": Method(Leaving, instances.deregister, Scope.AGENTS_REGISTER),
    "agent.update": Method(Update, instances.update, Scope.AGENTS_REGISTER),
    "agent.list": Method(List, instances.list_all, Scope.AGENTS_READ),
    "agent.discover": Method(Which, instances.discover, Scope.AGENTS_READ),
    "agent.status": Method(Status, instances.status, None),
    "agent.watch": Method(Watch, watches.watch, Scope.AGENTS_READ),
    "agent.unwatch": Method(Unwatch, watches.unwatch, None),
}


COUNTED: Mapping[str, Callable[[], AbstractContextManager[None]]] = {"agent.register": counting_refusals}


def counted(name: str) -> AbstractContextManager[None]:
    """What a message of this method is answered in, its credentials included, so that what is refused is counted."""
    return COUNTED.get(name, nullcontext)()


async def call(session: Session, name: str, given: dict[str, Any]) -> Mapping[str, Any]:
    """Raises Fault for an unknown method, Forbidden without the scope or for a foreign tenant, Invalid for wrong params, and what the
    method raises."""
    method = METHODS.get(name)
    if method is None:
        known = ", ".join((*AUTH, *METHODS))
        raise Fault(
            Code.UNKNOWN_METHOD,
            f"{name[:64]!r} is no method; there are {known}",
            reason="unknown_method",
            field="method",
        )
    if method.scope is not None:
        session.principal.require(method.scope)
    params = parse(method.params, given)
    if params.tenant_id is not None:
        session.tenant(params.tenant_id)  # whatever the method does with it
    return await method.answer(session, params)
