"""The table of routes.

The edge serves them, `/openapi.json` and `/docs` describe them, and 405 is derived from them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel

from robyn_server.core.access.permissions import Operation, is_public
from robyn_server.core.errors import BadRequest, NotOffered

from .messages import JSON, Response, Stream
from .parameters import Parameter

Handler = Callable[..., Awaitable[Response | Stream]]
"""`async def handler(services, request)`; with a third argument, the parsed body, when the route has a body."""

H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Route:
    """`path` holds `{name}` for a parameter. `success`, `other_statuses` and `media_type` describe the reply.

    `operation`: says who may use it, see `core/access/permissions.py`.
    `query`: the accepted parameters; others are refused before the handler is called. None: all are accepted.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    operation: Operation
    body: type[BaseModel] | None = None
    success: int = 200
    not_built: bool = False
    streams: bool = False
    """The reply is a Stream: its slot is reserved before the handler is called."""
    media_type: str = JSON
    other_statuses: tuple[int, ...] = ()
    query: tuple[Parameter, ...] | None = None
    has_deadline: bool = True
    """False: the handler may take minutes. Of a stream, only the opening has a deadline."""
    rest: bool = False
    """The last part of `path` is a parameter that takes the rest of the requested path, slashes included."""
    count_status: Callable[[int], None] | None = None
    """Called with the status of every reply, also when the edge refuses the request."""
    parameters: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(part[1:-1] for part in segments(self.path) if _is_parameter(part))
        object.__setattr__(self, "parameters", names)

    @property
    def public(self) -> bool:
        """Whether it needs no credentials."""
        return is_public(self.operation)

    @property
    def operation_id(self) -> str:
        words = [part.strip("{}").replace(".", "_").replace("-", "_") for part in segments(self.path)]
        return "_".join([self.method.lower(), *(words or ["root"])])


class RouteTable(Sequence[Route]):
    """The routes of a resource, collected by decorators. `query`, `operation`: the defaults for its routes."""

    def __init__(
        self, tag: str, query: tuple[Parameter, ...] | None = None, operation: Operation | None = None
    ) -> None:
        self._tag = tag
        self._query = query
        self._operation = operation
        self._routes: list[Route] = []

    def __len__(self) -> int:
        return len(self._routes)

    def __getitem__(self, index: Any) -> Any:
        return self._routes[index]

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def add(
        self, method: str, path: str, *, summary: str, operation: Operation | None = None, **options: Any
    ) -> Callable[[H], H]:
        """Options are those of `Route`: body, success, other_statuses, streams, media_type, query, has_deadline.

        Raises TypeError for a route without an operation, so that none is open by omission.
        """
        named = operation or self._operation
        if named is None:
            raise TypeError(f"{method} {path}: name the operation, see core/access/permissions.py")

        def register(handler: H) -> H:
            given = {"query": self._query, **options}
            self._routes.append(Route(method, path, handler, summary, self._tag, named, **given))
            return handler

        return register

    def get(self, path: str, *, summary: str, **options: Any) -> Callable[[H], H]:
        return self.add("GET", path, summary=summary, **options)

    def post(self, path: str, *, summary: str, **options: Any) -> Callable[[H], H]:
        return self.add("POST", path, summary=summary, **options)

    def put(self, path: str, *, summary: str, **options: Any) -> Callable[[H], H]:
        return self.add("PUT", path, summary=summary, **options)

    def patch(self, path: str, *, summary: str, **options: Any) -> Callable[[H], H]:
        return self.add("PATCH", path, summary=summary, **options)

    def delete(self, path: str, *, summary: str, **options: Any) -> Callable[[H], H]:
        return self.add("DELETE", path, summary=summary, **options)

    def not_offered(self, method: str, path: str, summary: str) -> None:
        """Declare an operation of the LangGraph API that is not built: it answers 405 and names itself."""

        async def refuse(_services: Any, _request: Any) -> Response:
            raise NotOffered(f"{summary} ({method} {path}) is not offered by this server yet.")

        self._routes.append(
            Route(method, path, refuse, summary, self._tag, Operation.NOT_OFFERED, success=405, not_built=True)
        )


def segments(path: str) -> list[str]:
    """The parts between slashes. One trailing slash is ignored."""
    if path in {"/", ""}:
        return []
    return (path[1:-1] if path.endswith("/") else path[1:]).split("/")


def _is_parameter(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


class _Node:
    __slots__ = ("literals", "parameter", "rest", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest: _Node | None = None
        self.routes: dict[str, Route] = {}

    def child(self, part: str) -> _Node:
        if not _is_parameter(part):
            return self.literals.setdefault(part, _Node())
        if self.parameter is None:
            self.parameter = _Node()
        return self.parameter


Match = tuple[Route, dict[str, str]]


class Matcher:
    """Finds the routes of a path. A literal part wins over a parameter, and that over the rest, if it leads to
    the requested method."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._insert(route)

    def _insert(self, route: Route) -> None:
        node, parts = self._root, segments(route.path)
        for part in parts[:-1] if route.rest else parts:
            node = node.child(part)
        if route.rest:
            node.rest = node = node.rest or _Node()
        if route.method in node.routes:
            raise ValueError(f"two routes for {route.method} {route.path}")
        node.routes[route.method] = route

    def find(self, method: str, path: str) -> Match | None:
        """The route for `method` on the raw `path`, with its decoded parameters."""
        parts = _decoded_segments(path)
        for node, values in _walk(self._root, parts, 0, ()):
            route = node.routes.get(method)
            if route is not None:
                return route, dict(zip(route.parameters, values, strict=True))
        return None

    def methods(self, path: str) -> list[str]:
        """The methods of `path`, sorted, HEAD included; empty for an unknown path."""
        return _with_head(self._routes(path))

    def offered_methods(self, path: str) -> list[str]:
        """As `methods`, without those that are not built."""
        return _with_head({method: route for method, route in self._routes(path).items() if not route.not_built})

    def _routes(self, path: str) -> dict[str, Route]:
        found: dict[str, Route] = {}
        for node, _ in _walk(self._root, _decoded_segments(path), 0, ()):
            found = node.routes | found
        return found


def _with_head(methods: Iterable[str]) -> list[str]:
    found = set(methods)
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _walk(
    node: _Node, parts: list[str], index: int, values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    if index == len(parts):
        yield node, values
        return
    part = parts[index]
    literal = node.literals.get(part)
    if literal is not None:
        yield from _walk(literal, parts, index + 1, values)
    if node.parameter is not None and part:
        yield from _walk(node.parameter, parts, index + 1, (*values, part))
    if node.rest is not None:
        yield node.rest, (*values, "/".join(parts[index:]))


def _decoded_segments(path: str) -> list[str]:
    """Decoded after splitting, so that an escaped slash stays inside its part (RFC 3986, section 2.2)."""
    parts = segments(path)
    if "%" not in path:
        return parts
    try:
        return [unquote(part, errors="strict") for part in parts]
    except UnicodeDecodeError:
        raise BadRequest("The path is not UTF-8.") from None
