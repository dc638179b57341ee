"""Which scope a route asks for."""

from __future__ import annotations

import pytest

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.access.scopes import AGENT_SCOPES, Scope
from robyn_server.core.errors import Forbidden
from robyn_server.web.edge.authorization import TABLE, authorize, scope_of
from robyn_server.web.http.messages import Response
from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/assistants/{assistant_id}", Scope.ASSISTANTS_READ),
        ("POST", "/assistants/search", Scope.ASSISTANTS_READ),
        ("POST", "/assistants/count", Scope.ASSISTANTS_READ),
        ("POST", "/assistants/{assistant_id}/versions", Scope.ASSISTANTS_READ),
        ("POST", "/assistants/{assistant_id}/latest", Scope.ASSISTANTS_WRITE),
        ("GET", "/assistants/{assistant_id}/graph", Scope.ASSISTANTS_READ),
        ("GET", "/assistants/{assistant_id}/subgraphs/{namespace}", Scope.ASSISTANTS_READ),
        ("POST", "/assistants", Scope.ASSISTANTS_WRITE),
        ("DELETE", "/assistants/{assistant_id}", Scope.ASSISTANTS_WRITE),
        ("POST", "/threads/search", Scope.THREADS_READ),
        ("POST", "/threads/{thread_id}/history", Scope.THREADS_READ),
        ("POST", "/threads/{thread_id}/state/checkpoint", Scope.THREADS_READ),
        ("POST", "/threads/{thread_id}/state", Scope.THREADS_WRITE),
        ("POST", "/threads/prune", Scope.THREADS_WRITE),
        ("GET", "/threads/{thread_id}/storage", Scope.THREADS_READ),
        ("POST", "/threads", Scope.THREADS_WRITE),
        ("GET", "/threads/{thread_id}/runs/{run_id}/stream", Scope.RUNS),
        ("POST", "/threads/{thread_id}/runs", Scope.RUNS),
        ("GET", "/threads/{thread_id}/stream", Scope.RUNS),
        ("POST", "/runs/wait", Scope.RUNS),
        ("GET", "/agents/sync", Scope.ADMIN),
        ("POST", "/agents/instances", Scope.AGENTS_REGISTER),
        ("POST", "/agents/instances/{id}/heartbeat", Scope.AGENTS_REGISTER),
        ("GET", "/agents/instances", Scope.AGENTS_READ),
        ("POST", "/agents/instances/{registration_id}/drain", Scope.AGENTS_REGISTER),
        ("POST", "/agents/instances/{registration_id}/cordon", Scope.AGENTS_WRITE),
        ("POST", "/agents/instances/{registration_id}/uncordon", Scope.AGENTS_WRITE),
        ("GET", "/agents/watch", Scope.AGENTS_READ),
        ("POST", "/agents/instances/{registration_id}/jobs/claim", Scope.AGENTS_REGISTER),
        ("POST", "/agents/jobs/{job_id}/accept", Scope.AGENTS_REGISTER),
        ("POST", "/agents/jobs/{job_id}/events", Scope.AGENTS_REGISTER),
        ("POST", "/agents/jobs/{job_id}/finish", Scope.AGENTS_REGISTER),
        ("GET", "/agents/jobs", Scope.AGENTS_READ),
        ("GET", "/agents/jobs/{job_id}", Scope.AGENTS_READ),
        ("POST", "/agents/jobs/{job_id}/cancel", Scope.AGENTS_WRITE),
        ("PUT", "/agents/manifests/{agent_id}", Scope.AGENTS_WRITE),
        ("PUT", "/store/items", Scope.STORE_WRITE),
        ("POST", "/store/items/search", Scope.STORE_READ),
        ("POST", "/keys", Scope.ADMIN),
        ("GET", "/metrics", Scope.METRICS),
        ("POST", "/mcp", None),
        ("GET", "/threadsomething", None),
    ],
)
def test_the_longest_prefix_decides(method: str, path: str, scope: Scope | None) -> None:
    assert scope_of(method, path) is scope


def test_every_scope_is_asked_for_somewhere() -> None:
    assert {scope for needed in TABLE.values() for scope in needed} == set(Scope)


def test_every_route_that_is_built_and_not_public_has_its_scope() -> None:
    open_to_members = [
        f"{route.method} {route.path}"
        for route in all_routes()
        if not (route.public or route.not_built) and scope_of(route.method, route.path) is None
    ]
    assert open_to_members == [], "no key with scopes could ever use these: give them a line in web/scopes.py"


async def _answer(_services: object, _request: object) -> Response:
    return Response()


TICKETS = Route("POST", "/agents/tickets", _answer, "Make a ticket", "Agents")


@pytest.mark.parametrize("scope", [Scope.AGENTS_READ, Scope.AGENTS_REGISTER, Scope.AGENTS_WRITE, Scope.ADMIN])
def test_any_scope_of_agents_will_do_for_a_ticket(scope: Scope) -> None:
    authorize(TICKETS, Principal("key:a", permissions=frozenset({scope}), limited=True))


def test_no_other_scope_will_do_for_a_ticket() -> None:
    others = frozenset(Scope) - AGENT_SCOPES - {Scope.ADMIN}
    with pytest.raises(Forbidden) as caught:
        authorize(TICKETS, Principal("key:a", permissions=others, limited=True))
    assert (caught.value.code, caught.value.field) == ("scope_missing", "agents:read")


def test_a_route_that_no_line_fits_is_closed_to_limited_keys() -> None:
    route = Route("GET", "/tomorrow", _answer, "Not thought of yet", "Things")
    authorize(route, Principal("ada"))
    authorize(route, LOCAL)
    authorize(route, Principal("key:a", permissions=frozenset({"admin"}), limited=True))
    with pytest.raises(Forbidden):
        authorize(route, Principal("key:a", permissions=frozenset(Scope) - {Scope.ADMIN}, limited=True))
