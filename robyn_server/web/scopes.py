"""Which scope a route asks for: the one table. The edge asks it for every route that is not public.

The longest prefix that fits a route's path decides. A route that no line fits is closed to limited keys, so that what is built
tomorrow is not open to a key that was made today.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from robyn_server.core.errors import Forbidden
from robyn_server.core.principal import Principal
from robyn_server.core.scopes import OF_AGENTS, Scope

from .routing import Route, segments


class Needed(NamedTuple):
    reading: Scope
    writing: Scope


TABLE: dict[str, Needed] = {
    "/assistants": Needed(Scope.ASSISTANTS_READ, Scope.ASSISTANTS_WRITE),
    "/threads": Needed(Scope.THREADS_READ, Scope.THREADS_WRITE),
    "/threads/{thread_id}/runs": Needed(Scope.RUNS, Scope.RUNS),
    "/runs": Needed(Scope.RUNS, Scope.RUNS),
    "/store": Needed(Scope.STORE_READ, Scope.STORE_WRITE),
    "/agents": Needed(Scope.AGENTS_READ, Scope.AGENTS_WRITE),
    "/agents/instances": Needed(Scope.AGENTS_READ, Scope.AGENTS_REGISTER),
    "/agents/tickets": Needed(Scope.AGENTS_READ, Scope.AGENTS_READ),
    "/agents/sync": Needed(Scope.ADMIN, Scope.ADMIN),
    "/keys": Needed(Scope.ADMIN, Scope.ADMIN),
    "/metrics": Needed(Scope.METRICS, Scope.METRICS),
}

INSTEAD: dict[str, frozenset[Scope]] = {"/agents/tickets": OF_AGENTS}
"""Any one of these will do as well: a ticket gives no more rights than the key that it is made with."""

_READS = frozenset({"search", "count", "history", "checkpoint", "namespaces", "discover"})
"""Last parts of paths whose POST only reads."""


def authorize(route: Route, principal: Principal) -> None:
    """Raises Forbidden."""
    if any(principal.may(scope) for scope in INSTEAD.get(route.path, ())):
        return
    needed = scope_of(route.method, route.path)
    if needed is not None:
        principal.require(needed)
    elif principal.limited and not principal.is_admin:
        raise Forbidden("No scope but 'admin' covers this.", code="scope_missing", field=Scope.ADMIN.value)


@functools.lru_cache(maxsize=1024)
def scope_of(method: str, path: str) -> Scope | None:
    """For a route's own path, as the table of routes writes it; None when no line fits."""
    parts = segments(path)
    for length in range(len(parts), 0, -1):
        needed = TABLE.get("/" + "/".join(parts[:length]))
        if needed is not None:
            return needed.reading if _only_reads(method, parts[-1]) else needed.writing
    return None


def _only_reads(method: str, last: str) -> bool:
    return method == "GET" or (method == "POST" and last in _READS)
