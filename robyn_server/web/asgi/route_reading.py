"""Read the routes of a Starlette or FastAPI app.

FastAPI keeps an included router as one route, whose own routes are its `effective_candidates`. Without them, or with
another name for them, a router counts as one whose paths are not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def routes_of(app: Any) -> list[Any]:
    """The routes that can be matched; empty for an app that is neither."""
    return [route for route in getattr(app, "routes", None) or () if hasattr(route, "matches")]


def beginnings_of(route: Any) -> set[str | None]:
    """The first parts of the route's paths; None stands for any."""
    return {_beginning(each) for each in _branches(route)}


def web_sockets_of(app: Any) -> Iterator[str]:
    """The paths of WebSockets, of routers and mounts as well."""
    for route in routes_of(app):
        for each in _branches(route):
            original = getattr(each, "original_route", each)
            if any(kind.__name__ == "WebSocketRoute" for kind in type(original).__mro__):
                yield str(_path(each))
            else:
                yield from web_sockets_of(original)


def first_part(path: str) -> str:
    return path[1:].partition("/")[0]


def _branches(route: Any) -> Iterator[Any]:
    """The routes of an included router, or the route itself."""
    found = [each() for name in _OF_A_ROUTER if callable(each := getattr(route, name, None))]
    for branch in (branch for branches in found for branch in branches):
        yield from _branches(branch)
    if not found:
        yield route


_OF_A_ROUTER = ("effective_candidates", "effective_low_priority_routes")


def _path(route: Any) -> str | None:
    """The pattern of the route's paths; None if it is not known."""
    path = getattr(getattr(route, "starlette_route", None), "path", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else None


def _beginning(route: Any) -> str | None:
    path = _path(route)
    if path is None or (not path and hasattr(route, "starlette_route")) or "{" in (first := first_part(path)):
        return None
    return first
