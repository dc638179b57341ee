"""Each route has its events, or its reason to have none, so that no route is open by omission."""

from __future__ import annotations

import re

import pytest

from robyn_server.core.access.permissions import Operation
from robyn_server.identity.handlers.loading import ACTIONS
from robyn_server.web.edge.access.events import CopyEvent, RunEvent, StoreGetEvent
from robyn_server.web.edge.access.table import EXEMPT, OWN, TABLE, events_of, is_governed
from robyn_server.web.http.messages import Response
from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes

GOVERNED = [
    route
    for route in all_routes()
    if is_governed(route) and not route.not_built and route.path.split("/")[1] not in OWN
]


@pytest.mark.parametrize("route", GOVERNED, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_of_the_langgraph_api_has_events(route: Route) -> None:
    events = events_of(route)
    assert events, "add a line to access_table.py, or a reason to EXEMPT"
    assert any(event.resource == route.path.split("/")[1] for event in events) or route.path.startswith("/runs")


def test_every_other_route_is_exempt_by_name() -> None:
    others = {route.path.split("/")[1] for route in all_routes() if not is_governed(route) and not route.public}
    assert others == set(EXEMPT)


def test_the_routes_of_a_users_own_rows_have_no_events_but_a_user() -> None:
    own = [route for route in all_routes() if route.path.split("/")[1] in OWN and not route.public]
    assert {route.path.split("/")[1] for route in own} == set(OWN)
    assert all(is_governed(route) and events_of(route) == () for route in own)


def test_the_table_has_no_line_too_many() -> None:
    assert set(TABLE) == {f"{route.method} {route.path}" for route in GOVERNED}


def test_a_new_route_is_refused_until_it_has_events() -> None:
    async def handler(_services: object, _request: object) -> Response:
        return Response()

    route = Route("GET", "/threads/{thread_id}/new", handler, "New", "Threads", Operation.THREADS_READ)
    assert is_governed(route)
    assert events_of(route) is None


def test_events_name_actions_that_handlers_may_have() -> None:
    asked = {(event.resource, event.action) for events in TABLE.values() for event in events}
    assert asked == {(resource, action) for resource, actions in ACTIONS.items() for action in actions}


@pytest.mark.parametrize("key", TABLE)
def test_what_an_event_changes_is_a_field_of_the_body(key: str) -> None:
    route = next(route for route in GOVERNED if f"{route.method} {route.path}" == key)
    for event in TABLE[key]:
        assert set(event.path) <= set(re.findall(r"{(\w+)}", route.path)) | {"thread_id"}
        fields = set() if route.body is None else set(route.body.model_fields)
        if not isinstance(event, RunEvent | CopyEvent | StoreGetEvent):
            assert set(event.fields.values()) | set(event.shown) <= fields


@pytest.mark.parametrize(
    "route",
    [each for each in GOVERNED if each.method in ("POST", "PUT", "PATCH", "DELETE")],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_a_route_that_changes_something_asks_for_more_than_a_read(route: Route) -> None:
    reads = {"read", "search", "get", "list_namespaces"}
    only_reads = route.path.rpartition("/")[2] in {"search", "count", "versions", "history", "checkpoint", "namespaces"}
    asked = {event.action for event in TABLE[f"{route.method} {route.path}"]}
    assert bool(asked - reads) is not only_reads
