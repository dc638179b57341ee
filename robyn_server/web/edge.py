"""The one wrapper around every route: raw HTTP in, a finished answer out. Knows no framework; `server.py` binds it to Robyn.

Order: drain gate → OPTIONS → route (404, 405) → body (truncated, too large) → credentials, scope → query → body model → handler → errors → headers, log.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from robyn_server.core.errors import AgenthallError, BadRequest, NotFound, TooLarge, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.principal import Principal
from robyn_server.metrics.definitions import HTTP_REQUESTS, HTTP_SECONDS, METHODS, ROUTES, UNROUTED
from robyn_server.services.identity import Identity
from robyn_server.settings import Settings

from .access_log import Entry
from .application import WebApplication
from .auth import Authenticate, authenticate
from .cors import Cors
from .http import EMPTY_QUERY, Headers, Query, Request, Response, Stream, empty
from .parameters import ensure_fits
from .problems import method_not_allowed, problem, stranger
from .routes.system import system_routes
from .routing import Matcher, Route
from .scopes import authorize
from .seats import Seat
from .standing import Standing
from .stream import EventStream, Streams
from .validation import parse_body

log = structlog.get_logger(__name__)

ANONYMOUS = Principal("anonymous")
"""Who asks on public routes: nobody's rights are looked up there."""

LIVENESS = "/livez"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(frozen=True, slots=True)
class RawRequest:
    """As it came over the wire: nothing decoded but the header names, which are lower case."""

    method: str
    path: str
    query: Iterable[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str = b""


@dataclass(frozen=True, slots=True)
class Streaming:
    """An answer whose body is pulled from `chunks`."""

    status: int
    headers: Headers
    media_type: str
    chunks: EventStream


Reply = Response | Streaming


@dataclass(slots=True)
class _Passage:
    """What becomes known of a request on its way: the pattern of its route, and who else counts its answer."""

    route: str = UNROUTED
    counted: Callable[[int], None] | None = None


class Edge:
    """Serves the system routes from its first moment, and an application's as soon as it is given one."""

    def __init__(
        self,
        settings: Settings,
        streams: Streams,
        *,
        identify: Authenticate | None = None,
        record: Callable[[Entry], None] | None = None,
    ) -> None:
        self.streams = streams
        self.draining = False
        self.in_flight = 0
        self.answered = 0
        self.sockets_url = settings.sockets_address
        self._max_body_bytes = settings.max_body_bytes
        self._identify = identify or authenticate(Identity(settings))
        self._cors = Cors(settings.cors_origins)
        self._record = record
        self._application: WebApplication | None = None
        self._services: Any = None
        self._use(system_routes(self))

    def serve(self, application: WebApplication) -> None:
        """From now on the application's routes are answered too. Raises ValueError when two routes collide."""
        self._use([*system_routes(self), *application.routes])
        self._application, self._services = application, application.services

    def _use(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._matcher = Matcher(self.routes)
        ROUTES.add(route.path for route in self.routes)

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        if self._application is None:
            return False, {"web": "starting"}
        ready, parts = self._application.readiness()
        if self.draining:
            return False, {**parts, "web": "draining"}
        return ready, parts

    async def handle(self, raw: RawRequest) -> Reply:
        """Never raises: every failure is an answer."""
        started = time.perf_counter()
        self.in_flight += 1
        request_id = _request_id(raw.headers)
        passage = _Passage()
        try:
            reply = await self._answer(raw, request_id, passage)
        except AgenthallError as error:
            reply = problem(error, request_id)
        except Exception:
            # Whatever it was, the caller must get an answer, and the trace belongs in the log.
            log.exception("request.failed", method=raw.method, path=raw.path, request_id=request_id)
            reply = stranger(request_id)
        finally:
            self.in_flight -= 1
            self.answered += 1
        took = time.perf_counter() - started
        _count(raw.method, passage.route, reply.status, took)
        if passage.counted is not None:
            passage.counted(reply.status)
        if self._record is not None:
            self._record(Entry(time.time(), raw.method, raw.path, reply.status, took, request_id))
        return self._dressed(reply, raw, request_id)

    async def _answer(self, raw: RawRequest, request_id: str, passage: _Passage) -> Reply:
        if self.draining and raw.path != LIVENESS:
            raise Unavailable("The server is stopping; try again.", code="draining")
        if raw.method == "OPTIONS":
            return self._options(raw)
        found = self._matcher.find("GET" if raw.method == "HEAD" else raw.method, raw.path)
        if found is None:
            return self._missed(raw, request_id)
        route, path_params = found
        passage.route, passage.counted = route.path, route.counted
        body = self._body(raw)
        principal = ANONYMOUS if route.public else await self._authorized(route, raw.headers)
        query = Query.from_raw(raw.query) if raw.query else EMPTY_QUERY
        if route.query is not None:
            ensure_fits(query, route.query)
        request = Request(raw.method, raw.path, path_params, query, raw.headers, body, principal, request_id)
        given = () if route.body is None else (parse_body(route.body, body),)
        if not route.streams:
            return self._whole(await route.handler(self._services, request, *given))
        with self.streams.promised(principal.identity) as seat:
            answer = await route.handler(self._services, request, *given)
            again = functools.partial(self._authorized, route, raw.headers)
            standing = None if route.public else Standing(principal, again, request_id)
            return self._opened(raw, answer, seat, standing)

    def _whole(self, answer: Response | Stream) -> Response:
        if isinstance(answer, Stream):
            raise TypeError("a route that answers with a Stream says so: streams=True")
        return answer

    async def _authorized(self, route: Route, headers: Mapping[str, str]) -> Principal:
        identified = self._identify(headers)
        principal = identified if isinstance(identified, Principal) else await identified
        authorize(route, principal)
        return principal

    def _options(self, raw: RawRequest) -> Response:
        methods = self._matcher.methods(raw.path)
        if "access-control-request-method" in raw.headers:
            return self._cors.preflight(raw.headers, [*methods, "OPTIONS"] if methods else [])
        if not methods:
            raise NotFound("Not Found")
        return empty(204, (("allow", ", ".join([*methods, "OPTIONS"])),))

    def _missed(self, raw: RawRequest, request_id: str) -> Response:
        allowed = self._matcher.methods(raw.path)
        if allowed:
            return method_not_allowed(allowed, request_id)
        if self._application is None:
            raise Unavailable("The server is starting; try again.", code="starting")
        raise NotFound("Not Found")

    def _body(self, raw: RawRequest) -> bytes:
        """All of the body. Robyn reads it without a limit and takes a truncated one for a whole."""
        declared = _content_length(raw.headers)
        if declared > self._max_body_bytes or len(raw.body) > self._max_body_bytes:
            raise self._too_large()
        if raw.headers.get("content-type", "").startswith("multipart/"):
            raise BadRequest("multipart bodies are not accepted here; send application/json")
        body = raw.body.encode() if isinstance(raw.body, str) else raw.body
        if len(body) > self._max_body_bytes:
            raise self._too_large()
        if len(body) < declared:
            raise BadRequest(f"The request body was cut off: {len(body)} of {declared} bytes arrived.")
        return body

    def _too_large(self) -> TooLarge:
        limit = self._max_body_bytes
        return TooLarge(f"The request body is larger than {limit} bytes (AGENTHALL_MAX_BODY_BYTES).")

    def _opened(self, raw: RawRequest, answer: Response | Stream, seat: Seat, standing: Standing | None) -> Reply:
        if isinstance(answer, Response):
            return answer
        if raw.method == "HEAD":
            return Response(answer.status, b"", answer.headers, answer.media_type)
        return Streaming(answer.status, answer.headers, answer.media_type, self.streams.start(answer, seat, standing))

    def _dressed(self, reply: Reply, raw: RawRequest, request_id: str) -> Reply:
        """`reply` with the headers that every answer carries."""
        headers = (*reply.headers, ("x-request-id", request_id), *self._cors.headers(raw.headers.get("origin")))
        if isinstance(reply, Response):
            return Response(reply.status, reply.body, headers, reply.media_type)
        return Streaming(reply.status, headers, reply.media_type, reply.chunks)


def _count(method: str, route: str, status: int, seconds: float) -> None:
    known = method if method in METHODS else "other"
    HTTP_REQUESTS.inc(known, route, str(status))
    HTTP_SECONDS.observe(seconds, known, route)


def _request_id(headers: Mapping[str, str]) -> str:
    """The caller's own, when it is fit for a log line and a header."""
    given = headers.get("x-request-id")
    if given is not None and _SANE_REQUEST_ID.fullmatch(given):
        return given
    return str(new_id())


def _content_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length")
    return int(text) if text is not None and text.isdecimal() else 0
