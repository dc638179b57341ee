"""The routes of a Starlette or FastAPI app, to find out which requests it takes before the server's own routes.

Rules
  1. A route of the app that matches path and method comes first, as in LangGraph's server.
  2. Routes of the server's operation stay (RESERVED).
  3. A route that takes every path, as `Mount("/")` does, comes after the server's: it would hide the whole API.
  4. Robyn drops a slash at the end of a path. A path gets it back where only that matches.
  5. Most requests are for paths with whose first part no route of the app begins. They cost one look-up.
"""

from __future__ import annotations

from typing import Any

from .protocol import App
from .route_reading import beginnings_of, first_part, routes_of

_REFERENCE = (
    "/docs",
    *(f"/docs/{name}" for name in ("reference.css", "reference.js", "swagger-ui-bundle.js", "swagger-ui.css")),
)
RESERVED = frozenset({"/ok", "/livez", "/metrics", "/openapi.json", *_REFERENCE})
_ANY_PATH = "/agenthall-any-path/00000000-0000-0000-0000-000000000000/x"
"""No route means this path. One that matches it matches every path."""


class AppRoutes:
    """An app without routes to read has none."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._read: tuple[int, list[Any], set[str | None]] = (0, [], set())

    def precede(self, method: str, path: str) -> bool:
        """Whether the app takes the request before the server's own routes. `path` is decoded."""
        routes, beginnings = self._routes()
        if path in RESERVED or not (None in beginnings or first_part(path) in beginnings):
            return False
        return any(
            _matches(route, method, each) and not _matches(route, method, _ANY_PATH)
            for route in routes
            for each in (path, path + "/")
        )

    def spelled(self, method: str, path: str) -> str:
        """The path with a slash at its end, where that is what a route wants."""
        routes, with_slash = self._routes()[0], path + "/"
        if any(_matches(route, method, path, also_other_methods=True) for route in routes):
            return path
        return with_slash if any(_matches(route, method, with_slash) for route in routes) else path

    def _routes(self) -> tuple[list[Any], set[str | None]]:
        """The routes, and how their paths begin. An app may add routes in its startup."""
        given = getattr(self._app, "routes", None) or ()
        if len(given) != self._read[0]:
            routes = routes_of(self._app)
            self._read = len(given), routes, set[str | None]().union(*map(beginnings_of, routes))
        return self._read[1:]


def _matches(route: Any, method: str, path: str, *, also_other_methods: bool = False) -> bool:
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    found = route.matches(scope)[0].name
    return found == "FULL" or (also_other_methods and found == "PARTIAL")
