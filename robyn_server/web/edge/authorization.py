"""The scopes that routes require, in one table. The edge checks it for every route that is not public.

The longest matching prefix of a route's path decides. A route without a match is closed to limited keys, so that a key
made today does not open what is built tomorrow.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from robyn_server.core.access.principal import Principal
from robyn_server.core.access.scopes import AGENT_SCOPES, Scope
from robyn_server.core.errors import Forbidden
from robyn_server.web.http.routing import Route, segments


class RequiredScopes(NamedTuple):
    reading: Scope
    writing: Scope


TABLE: dict[str, RequiredScopes] = {
    "/assistants": RequiredScopes(Scope.ASSISTANTS_READ, Scope.ASSISTANTS_WRITE),
    "/threads": RequiredScopes(Scope.THREADS_READ, Scope.THREADS_WRITE),
    "/threads/{thread_id}/runs": RequiredScopes(Scope.RUNS, Scope.RUNS),
    "/threads/{thread_id}/stream": RequiredScopes(Scope.RUNS, Scope.RUNS),
    "/runs": RequiredScopes(Scope.RUNS, Scope.RUNS),
    "/store": RequiredScopes(Scope.STORE_READ, Scope.STORE_WRITE),
    "/agents": RequiredScopes(Scope.AGENTS_READ, Scope.AGENTS_WRITE),
    "/agents/instances": RequiredScopes(Scope.AGENTS_READ, Scope.AGENTS_REGISTER),
    "/agents/instances/{registration_id}/cordon": RequiredScopes(Scope.AGENTS_READ, Scope.AGENTS_WRITE),
    "/agents/instances/{registration_id}/uncordon": RequiredScopes(Scope.AGENTS_READ, Scope.AGENTS_WRITE),
    "/agents/jobs": RequiredScopes(Scope.AGENTS_READ, Scope.AGENTS_REGISTER),
    "/agents/jobs/{job_id}/cancel": RequiredScopes(Scope.AGENTS_READ, Scope.AGENTS_WRITE),
    "/agents/tickets": RequiredScopes(Scope.AGENTS_READ, Scope.AGENTS_READ),
    "/agents/sync": RequiredScopes(Scope.ADMIN, Scope.ADMIN),
    "/keys": RequiredScopes(Scope.ADMIN, Scope.ADMIN),
    "/audit": RequiredScopes(Scope.AUDIT, Scope.AUDIT),
    "/metrics": RequiredScopes(Scope.METRICS, Scope.METRICS),
}

ALTERNATIVES: dict[str, frozenset[Scope]] = {"/agents/tickets": AGENT_SCOPES}
"""Any of these is accepted, too: a ticket gives no more rights than the key it is made with."""

_READS = frozenset({"search", "count", "versions", "history", "checkpoint", "namespaces", "discover"})
"""Last segments of paths whose POST only reads."""


def authorize(route: Route, principal: Principal) -> None:
    """Raises Forbidden."""
    if any(principal.may(scope) for scope in ALTERNATIVES.get(route.path, ())):
        return
    needed = scope_of(route.method, route.path)
    if needed is not None:
        principal.require(needed)
    else:
        require_unlimited(principal)


def require_unlimited(principal: Principal) -> None:
    """Raises Forbidden for a key with limited scopes, which do not name the route."""
    if principal.limited and not principal.is_admin:
        raise Forbidden(
            "This key's scopes do not cover this route; only 'admin' does.",
            code="scope_missing",
            field=Scope.ADMIN.value,
        )


@functools.lru_cache(maxsize=1024)
def scope_of(method: str, path: str) -> Scope | None:
    """The scope for a route's path pattern; None without a match."""
    parts = segments(path)
    for length in range(len(parts), 0, -1):
        needed = TABLE.get("/" + "/".join(parts[:length]))
        if needed is not None:
            return needed.reading if _only_reads(method, parts[-1]) else needed.writing
    return None


def _only_reads(method: str, last: str) -> bool:
    return method == "GET" or (method == "POST" and last in _READS)
