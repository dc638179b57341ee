"""The server's own routes: from a request to the answer of a route's handler.

Order: OPTIONS → route (404, 405) → body (truncated, too large) → credentials, scope, rate limits → query → body model →
handlers of the project → handler.
The part from the credentials to the end of the handler has a deadline, so that no client waits for a database that
hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robyn_server.core.access.permissions import require
from robyn_server.core.access.principal import Principal
from robyn_server.core.access.users import User
from robyn_server.core.errors import NotFound, NotOffered, Unavailable
from robyn_server.settings import Settings
from robyn_server.web.http.messages import EMPTY_QUERY, Query, Request, Response, Stream, empty
from robyn_server.web.http.parameters import ensure_fits
from robyn_server.web.http.problems import method_not_allowed, not_offered
from robyn_server.web.http.routing import Matcher, Route
from robyn_server.web.http.validation import parse_request_body
from robyn_server.web.streams.authorization import StreamAuthorization
from robyn_server.web.streams.open_streams import OpenStreams

from .access.authentication import ANONYMOUS, Authenticate
from .access.gate import AccessGate
from .cors import Cors
from .rate_limits import RateLimits
from .raw_request import RawRequest
from .replies import Opened, RequestOutcome
from .request_body import BodyReader


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a route. `user`: of the project's handlers, where they govern the route."""

    route: Route
    principal: Principal
    user: User | None


class ServerRoutes:
    def __init__(
        self,
        settings: Settings,
        streams: OpenStreams,
        bodies: BodyReader,
        cors: Cors,
        identify: Authenticate,
        gate: AccessGate | None,
    ) -> None:
        self._streams = streams
        self._bodies = bodies
        self._cors = cors
        self._identify = identify
        self._gate = gate
        self._max_body_values = settings.max_body_values
        self._request_seconds = settings.request_seconds
        self._rates = RateLimits(settings.requests_per_principal, settings.requests_per_organization)
        self._services: Any = None
        self._is_serving = False

    def use(self, routes: Sequence[Route], services: Any = None, *, is_serving: bool = False) -> None:
        """Serve these. `is_serving`: they are all, so any other path is missing. Raises ValueError when two collide."""
        self._matcher = Matcher(routes)
        self._services, self._is_serving = services, is_serving

    def has(self, path: str) -> bool:
        return bool(self._matcher.methods(path))

    def preflight(self, raw: RawRequest) -> Response:
        methods = self._matcher.methods(raw.path)
        return self._cors.preflight(raw.headers, [*methods, "OPTIONS"] if methods else [])

    async def identify(self, raw: RawRequest, body: bytes, request_id: str) -> Caller | None:
        """Return the caller, ahead of the answer; None for a path and method without a route, and for OPTIONS.

        Raises as the authentication does.
        """
        found = None if raw.method == "OPTIONS" else self._find(raw)
        if found is None:
            return None
        async with within(self._request_seconds):
            return await self._caller(*found, raw, body, request_id)

    async def answer(
        self, raw: RawRequest, request_id: str, outcome: RequestOutcome, caller: Caller | None = None
    ) -> Response | Opened:
        """`caller`: what `identify` found. Raises the errors that the route is answered with."""
        if raw.method == "OPTIONS":
            return self._options(raw)
        found = self._find(raw)
        if found is None:
            return self._no_route(raw, request_id)
        route, path_params = found
        outcome.route, outcome.count_status = route.path, route.count_status
        async with within(self._request_seconds if route.has_deadline else None):
            body = self._bodies.read(raw)
            if caller is None or caller.route is not route:
                caller = await self._caller(route, path_params, raw, body, request_id)
            request = Request(
                raw.method, raw.path, path_params, _query(raw), raw.headers, body, caller.principal, request_id
            )
            return await self._respond(request, caller, outcome)

    def _find(self, raw: RawRequest) -> tuple[Route, dict[str, str]] | None:
        return self._matcher.find("GET" if raw.method == "HEAD" else raw.method, raw.path)

    async def _caller(
        self, route: Route, path_params: Mapping[str, str], raw: RawRequest, body: bytes, request_id: str
    ) -> Caller:
        if (gate := self._gate_of(route)) is not None:
            request = Request(raw.method, raw.path, path_params, _query(raw), raw.headers, body, ANONYMOUS, request_id)
            return Caller(route, ANONYMOUS, await gate.authenticate(request))
        return Caller(route, ANONYMOUS if route.public else await self._authorized(route, raw.headers), None)

    def _gate_of(self, route: Route) -> AccessGate | None:
        return self._gate if self._gate is not None and self._gate.governs(route) else None

    async def _respond(self, request: Request, caller: Caller, outcome: RequestOutcome) -> Response | Opened:
        route, user = caller.route, caller.user
        if self._rates and not route.public:
            self._take(caller.principal if user is None else Principal(user.identity), outcome)
        if route.query is not None:
            ensure_fits(request.query, route.query)
        parsed = (
            None if route.body is None else await parse_request_body(route.body, request.body, self._max_body_values)
        )
        if route.not_built:
            return await self._refuse(route, request)
        gate = self._gate_of(route)
        if gate is not None and user is not None:
            request, parsed = await gate.admit(user, route, request, parsed, self._services.assistants)
        if route.method != "GET":  # a read leaves no trace, so nothing asks for its id
            request = replace(request, principal=replace(request.principal, request_id=request.request_id))
        given = () if parsed is None else (parsed,)
        if not route.streams:
            return _expect_response(await route.handler(self._services, request, *given))
        with self._streams.reserve(request.principal.identity) as slot:
            answer = await route.handler(self._services, request, *given)
            if isinstance(answer, Response):
                return answer
            if request.method == "HEAD":
                return Response(answer.status, b"", answer.headers, answer.media_type)
            slot.is_occupied = True
            return Opened(answer, slot, self._stream_authorization(gate, route, request))

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
            return _expect_response(await route.handler(self._services, request))
        except NotOffered as error:
            return not_offered(error, self._matcher.offered_methods(request.path), request.request_id)

    async def _authorized(self, route: Route, headers: Mapping[str, str]) -> Principal:
        identified = self._identify(headers)
        principal = identified if isinstance(identified, Principal) else await identified
        require(principal, route.operation)
        return principal

    def _options(self, raw: RawRequest) -> Response:
        if raw.asked_method is not None:
            return self.preflight(raw)
        if not self.has(raw.path):
            raise NotFound("Not Found")
        return empty(204, (("allow", ", ".join([*self._matcher.offered_methods(raw.path), "OPTIONS"])),))

    def _no_route(self, raw: RawRequest, request_id: str) -> Response:
        if self.has(raw.path):
            return method_not_allowed(self._matcher.offered_methods(raw.path), request_id)
        if not self._is_serving:
            raise Unavailable("The server is starting; try again.", code="starting")
        raise NotFound("Not Found")


@contextlib.asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """Raise Unavailable where the block takes longer. None: it may take as long as it likes."""
    try:
        async with asyncio.timeout(seconds) as deadline:
            yield
    except TimeoutError:
        if seconds is None or not deadline.expired():
            raise
        raise _overdue(seconds) from None


def _expect_response(answer: Response | Stream) -> Response:
    if isinstance(answer, Stream):
        raise TypeError("a route that returns a Stream must be declared with streams=True")
    return answer


def _query(raw: RawRequest) -> Query:
    return Query.from_raw(raw.query) if raw.query else EMPTY_QUERY


def _overdue(seconds: float) -> Unavailable:
    detail = f"The server could not answer within {seconds:g} s; its database may be overloaded. Try again."
    return Unavailable(detail, code="deadline_exceeded")
