"""The wrapper around every route: a raw HTTP request in, a finished reply out. `web/robyn/server.py` binds it to Robyn.

Order: drain gate → app of the project → OPTIONS → route (404, 405) → body (truncated, too large) → credentials, scope,
rate limits → query → body model → handlers of the project → handler → errors → headers, log.
The part from the credentials to the end of the handler has a deadline, so that no client waits for a database that
hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from robyn_server.core.access.permissions import require
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import AgenthallError, NotFound, NotOffered, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.identity.authenticator import Authenticator
from robyn_server.logs import log_fields
from robyn_server.metrics.definitions import HTTP_REQUESTS, HTTP_SECONDS, METHODS, OF_THE_APP, ROUTES, UNROUTED
from robyn_server.settings import AuthMode, Settings
from robyn_server.web.asgi.answers import is_standard_not_found
from robyn_server.web.asgi.host import AppHost
from robyn_server.web.http.messages import EMPTY_QUERY, Headers, Query, Request, Response, Stream, empty
from robyn_server.web.http.parameters import ensure_fits
from robyn_server.web.http.problems import internal_error, method_not_allowed, not_offered, problem
from robyn_server.web.http.routing import Matcher, Route
from robyn_server.web.http.validation import parse_request_body
from robyn_server.web.openapi.document import API_KEY, BEARER, NO_CREDENTIALS
from robyn_server.web.routes.server.system import system_routes
from robyn_server.web.streams.authorization import StreamAuthorization
from robyn_server.web.streams.open_streams import OpenStreams
from robyn_server.web.streams.slots import StreamSlot

from .access_gate import AccessGate
from .access_log import PROBES, Entry
from .app_requests import AppRequests
from .application import WebApplication
from .authentication import ANONYMOUS, Authenticate, authenticate
from .cors import Cors
from .rate_limits import RateLimits
from .raw_request import RawRequest
from .request_body import BodyReader

if TYPE_CHECKING:
    from robyn_server.tracing.http_spans import HttpSpans

log = structlog.get_logger(__name__)

LIVENESS = "/livez"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(frozen=True, slots=True)
class Streaming:
    """A reply whose body is pulled from `chunks`."""

    status: int
    headers: Headers
    media_type: str
    chunks: Iterator[bytes]


Reply = Response | Streaming


def _credentials(settings: Settings, gate: AccessGate | None) -> tuple[str, ...]:
    """The credentials that requests have. A handler of the project may take others, or none."""
    if gate is not None:
        return NO_CREDENTIALS, BEARER, API_KEY
    return (NO_CREDENTIALS,) if settings.auth_mode is AuthMode.NONE else (BEARER, API_KEY)


@dataclass(slots=True)
class RequestOutcome:
    """Facts of a request, whatever its reply is: the pattern of its route, the route's own counter, limits."""

    route: str = UNROUTED
    count_status: Callable[[int], None] | None = None
    limits: Headers = ()
    """Headers that tell the caller's rate limits."""


class Edge:
    """Serves the system routes at once, and the routes of an application after `serve`."""

    def __init__(
        self,
        settings: Settings,
        streams: OpenStreams,
        *,
        identify: Authenticate | None = None,
        gate: AccessGate | None = None,
        app: AppHost | None = None,
        record: Callable[[Entry], None] | None = None,
        spans: HttpSpans | None = None,
    ) -> None:
        self.streams = streams
        self.draining = False
        self.in_flight = 0
        self.answered = 0
        self.sockets_url = settings.sockets_address
        self.credentials = _credentials(settings, gate)
        self._bodies = BodyReader(settings)
        self._max_body_values = settings.max_body_values
        self._request_seconds = settings.request_seconds
        self._identify = identify or authenticate(Authenticator(settings))
        self._gate = gate
        is_local = settings.auth_mode is AuthMode.NONE and gate is None
        self.app = None if app is None else AppRequests(app, settings.http_app_auth, is_local, self._identify, gate)
        self._cors = Cors(settings.cors_origins)
        self._rates = RateLimits(settings.requests_per_principal, settings.requests_per_organization)
        self._record = record
        self._spans = spans
        self._application: WebApplication | None = None
        self._services: Any = None
        self._use(system_routes(self))

    def serve(self, application: WebApplication) -> None:
        """Serve the routes of `application`, too. Raises ValueError when two routes collide."""
        self._use([*system_routes(self), *application.routes])
        self._application, self._services = application, application.services

    def _use(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._matcher = Matcher(self.routes)
        ROUTES.add([*(route.path for route in self.routes), *([] if self.app is None else [OF_THE_APP])])

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        if self._application is None:
            return False, {"web": "starting"}
        ready, parts = self._application.readiness()
        if self.draining:
            return False, {**parts, "web": "draining"}
        return ready, parts

    async def handle(self, raw: RawRequest) -> Reply:
        """Answer a request. Never raises: every failure is a reply."""
        request_id = _request_id(raw.headers)
        token = log_fields.set({"request_id": request_id})
        try:
            return self._with_common_headers(await self._observed(raw, request_id), raw, request_id)
        finally:
            log_fields.reset(token)

    async def _observed(self, raw: RawRequest, request_id: str) -> Reply:
        """Answer, and count, log and trace the request."""
        started = time.perf_counter()
        self.in_flight += 1
        outcome = RequestOutcome()
        span = None
        if self._spans is not None and raw.path not in PROBES:
            span = self._spans.begin(raw.method, raw.path, raw.headers, request_id)
        try:
            reply = await self._answer(raw, request_id, outcome)
        except AgenthallError as error:
            reply = problem(error, request_id)
        except Exception:
            # The client gets a reply, and the traceback goes to the log.
            log.exception("request.failed", method=raw.method, path=raw.path, request_id=request_id)
            reply = internal_error(request_id)
        finally:
            self.in_flight -= 1
            self.answered += 1
        if outcome.limits:
            reply = _with_headers(reply, outcome.limits)
        took = time.perf_counter() - started
        _count(raw.method, outcome.route, reply.status, took)
        if outcome.count_status is not None:
            outcome.count_status(reply.status)
        if self._record is not None:
            ids = {} if span is None else span.ids
            self._record(Entry(time.time(), raw.method, raw.path, reply.status, took, request_id, ids))
        if span is not None:
            span.answer(None if outcome.route == UNROUTED else outcome.route, reply.status)
        return reply

    async def _answer(self, raw: RawRequest, request_id: str, outcome: RequestOutcome) -> Reply:
        if self.draining and raw.path != LIVENESS:
            raise Unavailable("The server is stopping; try again.", code="draining")
        app = self._app_for(raw)
        if app is not None:
            outcome.route = OF_THE_APP
            return await self._answer_with_app(app, raw, request_id)
        if raw.method == "OPTIONS":
            return self._options(raw)
        found = self._matcher.find("GET" if raw.method == "HEAD" else raw.method, raw.path)
        if found is None:
            return self._no_route(raw, request_id)
        route, path_params = found
        outcome.route, outcome.count_status = route.path, route.count_status
        async with _within(self._request_seconds if route.has_deadline else None):
            return await self._respond(route, path_params, raw, request_id, outcome)

    def _app_for(self, raw: RawRequest) -> AppRequests | None:
        """The app, where it answers the request. It is not asked before its startup."""
        if self.app is None or self._application is None:
            return None
        return self.app if self.app.precedes(raw) or not self._matcher.methods(raw.path) else None

    async def _answer_with_app(self, app: AppRequests, raw: RawRequest, request_id: str) -> Reply:
        """Answer with the app. It may take as long as it likes."""
        is_preflight = raw.asked_method is not None
        if is_preflight and app.is_authenticated:
            return self._cors.preflight(raw.headers, [])
        body = self._bodies.read(raw, for_app=True)
        async with _within(self._request_seconds):
            user = await app.authenticate(raw, body, request_id)
        call = app.begin(raw, body, request_id, user)
        answer = await call.answer()
        try:
            if is_preflight and not app.grants_origin(answer.headers):
                call.leave()
                return self._cors.preflight(raw.headers, [])
            if isinstance(answer, Response):
                return _convert_app_response(answer, raw, request_id)
            with self.streams.reserve(ANONYMOUS.identity if user is None else user.identity) as slot:
                return await self._open_stream(raw, answer, slot, None)
        except AgenthallError:
            call.leave()
            raise

    async def _respond(
        self, route: Route, path_params: dict[str, str], raw: RawRequest, request_id: str, outcome: RequestOutcome
    ) -> Reply:
        body = self._bodies.read(raw)
        gate = self._gate if self._gate is not None and self._gate.governs(route) else None
        principal = ANONYMOUS if route.public or gate is not None else await self._authorized(route, raw.headers)
        request = Request(raw.method, raw.path, path_params, _query(raw), raw.headers, body, principal, request_id)
        user = None if gate is None else await gate.authenticate(request)
        if self._rates and not route.public:
            self._take(principal if user is None else Principal(user.identity), outcome)
        if route.query is not None:
            ensure_fits(request.query, route.query)
        parsed = None if route.body is None else await parse_request_body(route.body, body, self._max_body_values)
        if route.not_built:
            return await self._refuse(route, request)
        if gate is not None and user is not None:
            request, parsed = await gate.admit(user, route, request, parsed, self._services.assistants)
        if route.method != "GET":  # a read leaves no trace, so nothing asks for its id
            request = replace(request, principal=replace(request.principal, request_id=request_id))
        given = () if parsed is None else (parsed,)
        if not route.streams:
            return self._expect_response(await route.handler(self._services, request, *given))
        with self.streams.reserve(request.principal.identity) as slot:
            answer = await route.handler(self._services, request, *given)
            return await self._open_stream(raw, answer, slot, self._stream_authorization(gate, route, request))

    def _take(self, principal: Principal, outcome: RequestOutcome) -> None:
        """Count a request against the caller's rate limits. Raises RateLimited."""
        outcome.limits, refusal = self._rates.take(principal)
        if refusal is not None:
            raise refusal

    def _stream_authorization(
        self, gate: AccessGate | None, route: Route, request: Request
    ) -> StreamAuthorization | None:
        """How the client's right to read the stream is checked while it is open."""
        if route.public:
            return None
        if gate is None:
            again = functools.partial(self._authorized, route, request.headers)
        else:
            again = functools.partial(gate.authorize_again, route, request, self._services.assistants)
        return StreamAuthorization(request.principal, again, request.request_id)

    async def _refuse(self, route: Route, request: Request) -> Response:
        try:
            return self._expect_response(await route.handler(self._services, request))
        except NotOffered as error:
            return not_offered(error, self._matcher.offered_methods(request.path), request.request_id)

    def _expect_response(self, answer: Response | Stream) -> Response:
        if isinstance(answer, Stream):
            raise TypeError("a route that returns a Stream must be declared with streams=True")
        return answer

    async def _authorized(self, route: Route, headers: Mapping[str, str]) -> Principal:
        identified = self._identify(headers)
        principal = identified if isinstance(identified, Principal) else await identified
        require(principal, route.operation)
        return principal

    def _options(self, raw: RawRequest) -> Response:
        methods = self._matcher.methods(raw.path)
        if raw.asked_method is not None:
            return self._cors.preflight(raw.headers, [*methods, "OPTIONS"] if methods else [])
        if not methods:
            raise NotFound("Not Found")
        return empty(204, (("allow", ", ".join([*self._matcher.offered_methods(raw.path), "OPTIONS"])),))

    def _no_route(self, raw: RawRequest, request_id: str) -> Response:
        if self._matcher.methods(raw.path):
            return method_not_allowed(self._matcher.offered_methods(raw.path), request_id)
        if self._application is None:
            raise Unavailable("The server is starting; try again.", code="starting")
        raise NotFound("Not Found")

    async def _open_stream(
        self, raw: RawRequest, answer: Response | Stream, slot: StreamSlot, authorization: StreamAuthorization | None
    ) -> Reply:
        if isinstance(answer, Response):
            return answer
        if raw.method == "HEAD":
            return Response(answer.status, b"", answer.headers, answer.media_type)
        if self._spans is not None:
            answer = replace(answer, produce=self._spans.follow(answer.produce))
        body = await self.streams.answer(answer, slot, authorization)
        if isinstance(body, bytes):
            return Response(answer.status, body, answer.headers, answer.media_type)
        return Streaming(answer.status, answer.headers, answer.media_type, body)

    def _with_common_headers(self, reply: Reply, raw: RawRequest, request_id: str) -> Reply:
        """`reply` with the headers that every reply carries. An app may decide itself about other origins."""
        decided = AppRequests.grants_origin(reply.headers)
        origins = () if decided else self._cors.headers(raw.headers.get("origin"))
        return _with_headers(reply, (("x-request-id", request_id), *origins))


def _with_headers(reply: Reply, more: Headers) -> Reply:
    headers = (*reply.headers, *more)
    if isinstance(reply, Response):
        return Response(reply.status, reply.body, headers, reply.media_type)
    return Streaming(reply.status, headers, reply.media_type, reply.chunks)


@contextlib.asynccontextmanager
async def _within(seconds: float | None) -> AsyncIterator[None]:
    """Raise Unavailable where the block takes longer. None: it may take as long as it likes."""
    try:
        async with asyncio.timeout(seconds) as deadline:
            yield
    except TimeoutError:
        if seconds is None or not deadline.expired():
            raise
        raise _overdue(seconds) from None


def _convert_app_response(answer: Response, raw: RawRequest, request_id: str) -> Reply:
    """An answer of the app. For a path that neither the server nor the app has, it is JSON, which clients read."""
    if is_standard_not_found(answer.status, answer.media_type, answer.body):
        return problem(NotFound("Not Found"), request_id, answer.headers)
    if raw.method == "HEAD" and not answer.body:  # as a Response its content-length would be 0
        return Streaming(answer.status, answer.headers, answer.media_type, iter(()))
    return answer


def _query(raw: RawRequest) -> Query:
    return Query.from_raw(raw.query) if raw.query else EMPTY_QUERY


def _overdue(seconds: float) -> Unavailable:
    detail = f"The server could not answer within {seconds:g} s; its database may be overloaded. Try again."
    return Unavailable(detail, code="deadline_exceeded")


def _count(method: str, route: str, status: int, seconds: float) -> None:
    known = method if method in METHODS else "other"
    HTTP_REQUESTS.inc(known, route, str(status))
    HTTP_SECONDS.observe(seconds, known, route)


def _request_id(headers: Mapping[str, str]) -> str:
    """The client's, when it is fit for a log line and a header; else a new one."""
    given = headers.get("x-request-id")
    if given is not None and _SANE_REQUEST_ID.fullmatch(given):
        return given
    return str(new_id())
