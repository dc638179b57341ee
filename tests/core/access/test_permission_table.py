"""The table of permissions, and that every route and method is in it."""

from __future__ import annotations

import pytest

from robyn_server.core.access.permissions import ANY_SCOPE, PERMISSIONS, Operation, Role, is_public, permits, require
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.access.scopes import PRIVILEGED, Scope
from robyn_server.core.errors import Forbidden
from robyn_server.sockets.methods.table import METHODS
from robyn_server.web.http.messages import Response
from robyn_server.web.http.routing import Route, RouteTable
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.server.system import system_routes

OF_SERVICES = {Operation.APP_USE, Operation.ASSISTANTS_SET_SERVERS, Operation.DATA_ERASE}
"""Operations that no route names: the app of a project, a part of a body, and a command."""


async def _answer(_services: object, _request: object) -> Response:
    return Response()


def _limited(*scopes: Scope) -> Principal:
    return Principal("key:a", permissions=frozenset(scopes), limited=True)


def test_every_operation_is_that_of_a_route_or_a_method() -> None:
    routes = [*all_routes(), *system_routes(None)]  # type: ignore[arg-type]  # no route is called
    named = {route.operation for route in routes} | {method.operation for method in METHODS.values()}
    assert named | OF_SERVICES == set(Operation)


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
        ("PUT", "/store/items", Scope.STORE_WRITE),
        ("POST", "/store/items/search", Scope.STORE_READ),
        ("POST", "/keys", Scope.ADMIN),
        ("GET", "/metrics", Scope.METRICS),
        ("GET", "/audit", Scope.AUDIT),
        ("GET", "/connections", Scope.RUNS),
        ("DELETE", "/connections/{connection_id}", Scope.RUNS),
        ("POST", "/connections/callback", Scope.RUNS),
        ("PUT", "/agents/manifests/{agent_id}", Scope.ADMIN),
        ("POST", "/agents/instances/{registration_id}/heartbeat", Scope.AGENTS_REGISTER),
        ("DELETE", "/agents/configurations/{agent_id}", Scope.AGENTS_WRITE),
        ("DELETE", "/threads/{thread_id}/runs/{run_id}", Scope.RUNS),
        ("DELETE", "/store/items", Scope.STORE_WRITE),
    ],
)
def test_the_scope_of_a_route(method: str, path: str, scope: Scope) -> None:
    (route,) = [each for each in all_routes() if (each.method, each.path) == (method, path)]
    assert PERMISSIONS[route.operation].main_scope is scope


_READING_POSTS = frozenset({"search", "count", "versions", "history", "checkpoint", "namespaces"})
"""Last segments of paths whose POST only reads."""


@pytest.mark.parametrize(
    "route",
    [each for each in all_routes() if not each.not_built and each.operation is not Operation.CONNECTIONS_RETURN],
    ids=lambda route: route.operation_id,
)
def test_a_route_that_changes_something_names_no_operation_that_reads(route: Route) -> None:
    only_reads = route.method == "GET" or (route.method == "POST" and route.path.rpartition("/")[2] in _READING_POSTS)
    assert (str(route.operation).rpartition(".")[2] in {"read", "search"}) is only_reads


def test_a_route_without_an_operation_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="GET /tomorrow: name the operation"):
        RouteTable(tag="Things").get("/tomorrow", summary="Not thought of yet")(_answer)


def test_what_needs_no_credentials() -> None:
    """Routes that describe the server, and the page to which an authorization server sends a browser."""
    public = [operation for operation in Operation if is_public(operation)]
    assert public == [Operation.SERVER_READ, Operation.CONNECTIONS_RETURN]


def test_every_scope_is_needed_somewhere() -> None:
    assert {scope for each in PERMISSIONS.values() if each.scopes != ANY_SCOPE for scope in each.scopes} == set(Scope)


@pytest.mark.parametrize("operation", Operation)
def test_a_key_with_scopes_may_do_what_one_of_them_allows(operation: Operation) -> None:
    needed = PERMISSIONS[operation].scopes
    for scope in Scope:
        assert permits(_limited(scope), operation) is (scope in needed or scope is Scope.ADMIN)


@pytest.mark.parametrize("operation", Operation)
def test_only_privileged_scopes_must_be_granted_to_others(operation: Operation) -> None:
    is_privileged = PERMISSIONS[operation].role is Role.ADMIN
    assert permits(Principal("ada"), operation) is not is_privileged
    assert permits(LOCAL, operation)
    assert is_privileged is (bool(PERMISSIONS[operation].scopes) and PERMISSIONS[operation].scopes <= PRIVILEGED)


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (Operation.THREADS_READ, "threads:read"),
        (Operation.SOCKETS_TICKET, "agents:read"),
        (Operation.KEYS_CREATE, "admin"),
        (Operation.METRICS_READ, "metrics"),
        (Operation.APP_USE, "admin"),
    ],
)
def test_the_error_names_the_scope(operation: Operation, field: str) -> None:
    with pytest.raises(Forbidden) as caught:
        require(_limited(Scope.STORE_READ), operation)
    assert (caught.value.code, caught.value.field) == ("scope_missing", field)


def test_a_role_includes_those_before_it() -> None:
    assert Role.OWNER.includes(Role.MEMBER) and not Role.MEMBER.includes(Role.OWNER)
