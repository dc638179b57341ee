"""The wrapper around every request: a raw request in, a finished reply out. `web/robyn/server.py` binds it to Robyn.

Order: drain gate → app of the project → the server's own routes → errors → headers, log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from robyn_server.core.errors import AgenthallError, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.identity.authenticator import Authenticator
from robyn_server.logs import log_fields
from robyn_server.metrics.definitions import HTTP_REQUESTS, HTTP_SECONDS, METHODS, OF_THE_APP, ROUTES, UNROUTED
from robyn_server.settings import AuthMode, Settings
from robyn_server.web.asgi.host import AppHost
from robyn_server.web.http.messages import Response
from robyn_server.web.http.problems import internal_error, problem
from robyn_server.web.http.routing import Route
from robyn_server.web.openapi.document import API_KEY, BEARER, NO_CREDENTIALS
from robyn_server.web.routes.server.system import system_routes
from robyn_server.web.streams.open_streams import OpenStreams

from .access.authentication import Authenticate, authenticate
from .access.gate import AccessGate
from .access_log import PROBES, Entry
from .app.answers import AppAnswers
from .app.requests import AppRequests
from .application import WebApplication
from .cors import Cors
from .raw_request import RawRequest
from .replies import Opened, Reply, RequestOutcome, Streaming, with_headers
from .request_body import BodyReader
from .server_routes import ServerRoutes

if TYPE_CHECKING:
    from robyn_server.tracing.http_spans import HttpSpans

log = structlog.get_logger(__name__)

LIVENESS = "/livez"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def _credentials(settings: Settings, gate: AccessGate | None) -> tuple[str, ...]:
    """The credentials that requests have. A handler of the project may take others, or none."""
    if gate is not None:
        return NO_CREDENTIALS, BEARER, API_KEY
    return (NO_CREDENTIALS,) if settings.auth_mode is AuthMode.NONE else (BEARER, API_KEY)


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
        self._record = record
        self._spans = spans
        self._cors = Cors(settings.cors_origins)
        self._application: WebApplication | None = None
        identify = identify or authenticate(Authenticator(settings))
        bodies = BodyReader(settings)
        self._server = ServerRoutes(settings, streams, bodies, self._cors, identify, gate)
        self.app = None if app is None else AppRequests.of(settings, app, identify, gate)
        self._app = (
            None if self.app is None else AppAnswers(settings, self.app, self._server, streams, bodies, self._cors)
        )
        self._use(system_routes(self))

    def serve(self, application: WebApplication) -> None:
        """Serve the routes of `application`, too. Raises ValueError when two routes collide."""
        self._use([*system_routes(self), *application.routes], application.services, is_serving=True)
        self._application = application

    def _use(self, routes: Sequence[Route], services: Any = None, *, is_serving: bool = False) -> None:
        self.routes = tuple(routes)
        self._server.use(self.routes, services, is_serving=is_serving)
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
            reply = with_headers(reply, outcome.limits)
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
        # before its startup, the app is not asked
        if self._app is not None and self._application is not None and self._app.takes(raw):
            outcome.route = OF_THE_APP
            answer = await self._app.answer(raw, request_id, outcome)
        else:
            answer = await self._server.answer(raw, request_id, outcome)
        return await self._begin(answer) if isinstance(answer, Opened) else answer

    async def _begin(self, opened: Opened) -> Reply:
        """Begin a stream. One whose body is whole in time is no stream any more."""
        stream = opened.stream
        if self._spans is not None:
            stream = replace(stream, produce=self._spans.follow(stream.produce))
        body = await self.streams.answer(stream, opened.slot, opened.authorization)
        if isinstance(body, bytes):
            return Response(stream.status, body, stream.headers, stream.media_type)
        return Streaming(stream.status, stream.headers, stream.media_type, body)

    def _with_common_headers(self, reply: Reply, raw: RawRequest, request_id: str) -> Reply:
        """`reply` with the headers that every reply carries. An app may decide itself about other origins."""
        decided = AppRequests.grants_origin(reply.headers)
        origins = () if decided else self._cors.headers(raw.headers.get("origin"))
        return with_headers(reply, (("x-request-id", request_id), *origins))


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
