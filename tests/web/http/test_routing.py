from __future__ import annotations

import pytest

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import BadRequest, NotOffered
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import Matcher, RouteTable

routes = RouteTable(tag="Things", operation=Operation.APP_USE)


async def answer(_services: object, _request: Request) -> Response:
    return json_response({})


for method, path in [
    ("GET", "/"),
    ("GET", "/things/{thing_id}"),
    ("DELETE", "/things/{id}"),
    ("POST", "/things/search"),
    ("GET", "/things/{thing_id}/parts/{part}"),
]:
    routes.add(method, path, summary="x")(answer)

matcher = Matcher(routes)


def found(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    match = matcher.find(method, path)
    return None if match is None else (match[0].path, match[1])


def test_a_literal_wins_over_a_parameter_where_it_has_the_method() -> None:
    assert found("POST", "/things/search") == ("/things/search", {})
    assert found("GET", "/things/search") == ("/things/{thing_id}", {"thing_id": "search"})
    assert found("GET", "/things/search/parts/1") == (
        "/things/{thing_id}/parts/{part}",
        {"thing_id": "search", "part": "1"},
    )


def test_each_route_keeps_its_own_names_for_parameters() -> None:
    assert found("DELETE", "/things/1") == ("/things/{id}", {"id": "1"})


def test_an_escaped_slash_stays_inside_its_parameter() -> None:
    assert found("GET", "/things/a%2Fb%20%25") == ("/things/{thing_id}", {"thing_id": "a/b %"})
    assert found("POST", "/things/se%61rch") == ("/things/search", {})


@pytest.mark.parametrize("path", ["/thing", "/things", "//", "/things//parts/1", "/things/1/parts", "/things/1/2/3/4"])
def test_what_is_not_in_the_table_is_not_found(path: str) -> None:
    assert found("GET", path) is None


def test_the_root_and_a_trailing_slash() -> None:
    assert found("GET", "/") == ("/", {})
    assert found("GET", "/things/1/") == ("/things/{thing_id}", {"thing_id": "1"})


def test_the_methods_of_a_path_are_those_of_all_its_routes() -> None:
    assert matcher.methods("/things/search") == ["DELETE", "GET", "HEAD", "POST"]
    assert matcher.methods("/nope") == []


def test_a_path_that_is_not_utf8_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        matcher.find("GET", "/things/%ff")


def test_two_routes_for_one_method_and_path_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes for GET"):
        Matcher([*routes, *routes])


def test_what_is_not_built_is_no_offered_method() -> None:
    table = RouteTable(tag="Crons", operation=Operation.APP_USE)
    table.not_offered("GET", "/crons/{cron_id}", "Get a cron")
    table.delete("/crons/{cron_id}", summary="Delete a cron")(answer)
    partly = Matcher(table)
    assert partly.methods("/crons/1") == ["DELETE", "GET", "HEAD"]
    assert partly.offered_methods("/crons/1") == ["DELETE"]


async def test_what_is_not_offered_names_its_operation() -> None:
    table = RouteTable(tag="Crons", operation=Operation.APP_USE)
    table.not_offered("POST", "/crons/search", "Search crons")
    (route,) = table
    assert (route.not_built, route.success, route.operation_id) == (True, 405, "post_crons_search")
    with pytest.raises(NotOffered, match=r"Search crons \(POST /crons/search\)"):
        await route.handler(None, None)


def test_a_route_with_a_rest_takes_what_no_other_route_takes() -> None:
    table = RouteTable(tag="Files", operation=Operation.SERVER_READ)
    for path, rest in (("/files", False), ("/files/{path}", True), ("/files/{name}/size", False)):
        table.get(path, summary="A file", rest=rest)(answer)
    files = Matcher(table)

    def find(path: str) -> tuple[str, dict[str, str]] | None:
        match = files.find("GET", path)
        return match and (match[0].path, match[1])

    assert find("/files/") == ("/files", {})
    assert find("/files/a") == ("/files/{path}", {"path": "a"})
    assert find("/files/a/b/c") == ("/files/{path}", {"path": "a/b/c"})
    assert find("/files/a/size") == ("/files/{name}/size", {"name": "a"})
    assert find("/other/a") is None
    assert files.methods("/files/a/b") == ["GET", "HEAD"]
