"""Which requests an app takes before the server's own routes."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Host, Mount, Route, WebSocketRoute

from robyn_server.web.asgi.app_routes import RESERVED, AppRoutes
from robyn_server.web.asgi.route_reading import web_sockets_of


async def endpoint(_request: Any) -> Any: ...


def routes(*given: Any) -> AppRoutes:
    return AppRoutes(Starlette(routes=list(given)))


@pytest.mark.parametrize(
    ("route", "method", "path", "precedes"),
    [
        (Route("/threads", endpoint), "GET", "/threads", True),
        (Route("/threads", endpoint), "HEAD", "/threads", True),
        (Route("/threads", endpoint), "POST", "/threads", False),
        (Route("/threads/", endpoint), "GET", "/threads", True),
        (Route("/threads/{thread_id}/summary", endpoint), "GET", "/threads/1/summary", True),
        (Route("/threads/{thread_id}/summary", endpoint), "GET", "/threads/1", False),
        (Route("/{tenant}/summary", endpoint), "GET", "/threads/summary", True),
        (Route("/other", endpoint), "GET", "/threads", False),
        (Mount("/threads/extra", routes=[Route("/x", endpoint)]), "POST", "/threads/extra/x", True),
        (Mount("/", routes=[Route("/threads", endpoint)]), "GET", "/threads", False),
        (Route("/{path:path}", endpoint), "GET", "/threads", False),
        (Host("{sub}.example", app=Starlette()), "GET", "/threads", False),
    ],
)
def test_a_route_precedes_where_it_matches_path_and_method(route: Any, method: str, path: str, precedes: bool) -> None:
    assert routes(route).precede(method, path) is precedes


@pytest.mark.parametrize("path", sorted(RESERVED))
def test_routes_of_the_servers_operation_are_never_the_apps(path: str) -> None:
    assert not routes(Route(path, endpoint)).precede("GET", path)


def test_an_app_whose_routes_cannot_be_read_precedes_nowhere() -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None: ...

    assert not AppRoutes(app).precede("GET", "/threads")
    assert AppRoutes(app).spelled("GET", "/threads") == "/threads"


def test_routes_that_are_added_later_count() -> None:
    app = Starlette(routes=[Route("/other", endpoint)])
    found = AppRoutes(app)
    assert not found.precede("GET", "/threads")
    app.routes.append(Route("/threads", endpoint))
    assert found.precede("GET", "/threads")


@pytest.mark.parametrize(
    ("route", "path", "spelled"),
    [
        (Route("/a/", endpoint), "/a", "/a/"),
        (Route("/a", endpoint), "/a", "/a"),
        (Route("/a", endpoint, methods=["POST"]), "/a", "/a"),
        (Mount("/a", app=Starlette()), "/a", "/a/"),
        (Route("/b", endpoint), "/a", "/a"),
    ],
)
def test_a_path_gets_back_the_slash_that_its_route_wants(route: Any, path: str, spelled: str) -> None:
    assert routes(route).spelled("GET", path) == spelled


class IncludedRouter:
    """A router that is included in an app of FastAPI: one route, with those of the router behind it."""

    def __init__(self, *candidates: Any) -> None:
        self._candidates = candidates
        self.asked = 0

    def effective_candidates(self) -> list[Any]:
        return list(self._candidates)

    def matches(self, scope: Any) -> Any:
        self.asked += 1
        return max((each.matches(scope) for each in self._candidates), key=lambda found: found[0].value)


class FakeApp:
    def __init__(self, *given: Any) -> None:
        self.routes = list(given)


def test_an_included_router_is_asked_about_paths_that_begin_as_its_own_only() -> None:
    router = IncludedRouter(Route("/api/{name}", endpoint), IncludedRouter(Route("/threads/{name}/mine", endpoint)))
    found = AppRoutes(FakeApp(router))
    assert found.precede("GET", "/threads/1/mine")
    before = router.asked
    assert not found.precede("GET", "/runs")
    assert router.asked == before


def test_a_router_of_unknown_paths_is_asked_about_each() -> None:
    class Unknown:
        def matches(self, scope: Any) -> Any:
            return Route("/runs", endpoint).matches(scope)

    assert AppRoutes(FakeApp(Unknown())).precede("GET", "/runs")


def test_a_web_socket_of_an_included_router_is_found() -> None:
    app = FakeApp(IncludedRouter(Route("/api", endpoint), IncludedRouter(WebSocketRoute("/live", endpoint))))
    assert list(web_sockets_of(app)) == ["/live"]
