"""Answers with the app of a project: by a route of the app, or by one of the server's within the app's middleware.

    the app's middleware ─→ `_Passage.answer` ─┬─→ the app's router
                                               └─→ the server's routes, whose answer goes back through the middleware

`http.middleware_order` says whether the credentials are checked within the middleware or before it. Middleware may
change the request, and so what it is for: each part looks at the request as it arrives there.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from robyn_server.core.access.users import User
from robyn_server.core.errors import AgenthallError, NotFound
from robyn_server.settings import Settings
from robyn_server.web.asgi.answers import is_standard_not_found
from robyn_server.web.asgi.app_routes import RESERVED
from robyn_server.web.asgi.protocol import App, Receive, Scope, Send
from robyn_server.web.asgi.scope import credentials_of
from robyn_server.web.asgi.sending import StreamSender, send_response
from robyn_server.web.edge.access.authentication import ANONYMOUS
from robyn_server.web.edge.cors import Cors
from robyn_server.web.edge.raw_request import RawRequest
from robyn_server.web.edge.replies import Opened, Reply, RequestOutcome, Streaming
from robyn_server.web.edge.request_body import BodyReader
from robyn_server.web.edge.server_routes import Caller, ServerRoutes, within
from robyn_server.web.http.messages import Response, Sink, Stream
from robyn_server.web.http.problems import problem
from robyn_server.web.streams.open_streams import OpenStreams

from .passed_request import passed_body, passed_request
from .requests import AppRequests, user_of

_CONSOLE = "/console"


class AppAnswers:
    def __init__(
        self,
        settings: Settings,
        app: AppRequests,
        server: ServerRoutes,
        streams: OpenStreams,
        bodies: BodyReader,
        cors: Cors,
    ) -> None:
        self.app = app
        self.server = server
        self.cors = cors
        self.heartbeat_seconds = settings.heartbeat_seconds
        self._seconds = settings.request_seconds
        self._streams = streams
        self._bodies = bodies

    def takes(self, raw: RawRequest) -> bool:
        """Whether the app gets the request. Raises BadRequest for a path that is not UTF-8."""
        return (self.app.has_middleware and not _skips_middleware(raw.path)) or self.has(raw)

    def has(self, raw: RawRequest) -> bool:
        """Whether the app answers the request, rather than the server. Raises as `takes` does."""
        return self.app.precedes(raw) or not self.server.has(raw.path)

    async def answer(self, raw: RawRequest, request_id: str, outcome: RequestOutcome) -> Reply | Opened:
        """It may take as long as the app likes."""
        is_preflight = raw.asked_method is not None
        is_of_server = not self.has(raw)
        if is_preflight and self.app.is_authenticated and not self.app.has_middleware:
            return self.cors.preflight(raw.headers, [])
        body = self._bodies.read(raw, for_app=True)
        passage = _Passage(self, raw, body, request_id, outcome)
        if not (is_preflight and (is_of_server or self.app.is_authenticated)):
            await passage.identify(is_of_server=is_of_server)
        call = self.app.begin(raw, body, request_id, passage.user, passage.answer if self.app.has_middleware else None)
        answer = await call.answer()
        if is_preflight and not is_of_server and not self.app.grants_origin(answer.headers):
            call.leave()
            return self.cors.preflight(raw.headers, [])
        if isinstance(answer, Response):
            return _converted(answer, raw, request_id)
        try:
            return passage.opened(answer) or self._open(answer, passage.user)
        except AgenthallError:
            call.leave()
            raise

    def _open(self, stream: Stream, user: User | None) -> Opened:
        with self._streams.reserve(ANONYMOUS.identity if user is None else user.identity) as slot:
            slot.is_occupied = True
            return Opened(stream, slot, None)

    async def authenticate(self, raw: RawRequest, body: bytes, request_id: str) -> User | None:
        async with within(self._seconds):
            return await self.app.authenticate(raw, body, request_id)


class _Passage:
    """One request on its way through the app. `user`: of the scope."""

    def __init__(
        self, answers: AppAnswers, raw: RawRequest, body: bytes, request_id: str, outcome: RequestOutcome
    ) -> None:
        self._answers = answers
        self._raw = raw
        self._body = body
        self._request_id = request_id
        self._outcome = outcome
        self._is_authenticated = False
        self._caller: Caller | None = None
        self._stream: tuple[Opened, StreamSender] | None = None
        self._has_passed_slot = False
        self.user: User | None = None

    async def identify(self, *, is_of_server: bool) -> None:
        """Authenticate, where that comes before the middleware. Raises as the authentication does."""
        answers = self._answers
        if answers.app.is_late:
            return
        if not is_of_server:
            self.user = await answers.authenticate(self._raw, self._body, self._request_id)
            self._is_authenticated = True
            return
        caller = self._caller = await answers.server.identify(self._raw, self._body, self._request_id)
        if caller is not None and not caller.route.public and not answers.app.is_local:
            self.user = caller.user or user_of(caller.principal)

    async def answer(self, ended: asyncio.Event, router: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what the middleware passed on."""
        try:
            raw = passed_request(self._raw, scope)
            if self._answers.has(raw):
                await self._answer_with_router(raw, router, scope, receive, send)
            else:
                raw = replace(raw, body=await passed_body(receive))
                await self._answer_with_server(raw, ended, send)
        except AgenthallError as error:
            await send_response(problem(error, self._request_id), send)

    async def _answer_with_router(
        self, raw: RawRequest, router: App, scope: Scope, receive: Receive, send: Send
    ) -> None:
        app = self._answers.app
        if app.is_authenticated and not self._is_authenticated:
            if raw.asked_method is not None:
                await send_response(self._answers.cors.preflight(raw.headers, []), send)
                return
            user = await self._answers.authenticate(raw, self._body, self._request_id)
            scope |= credentials_of(user)
        await router(scope, receive, send)

    async def _answer_with_server(self, raw: RawRequest, ended: asyncio.Event, send: Send) -> None:
        answer = await self._answers.server.answer(raw, self._request_id, self._outcome, self._caller)
        if isinstance(answer, Response):
            await send_response(answer, send)
        else:
            await self._send_stream(answer, ended, send)

    async def _send_stream(self, opened: Opened, ended: asyncio.Event, send: Send) -> None:
        sender = StreamSender(opened.stream, ended, send, self._answers.heartbeat_seconds)
        self._stream = opened, sender
        try:
            await sender.run()
        finally:
            if not self._has_passed_slot:
                opened.slot.release()

    def opened(self, answer: Stream) -> Opened | None:
        """The server's stream, as it comes out of the middleware; None where the stream is not the server's.

        It keeps its slot, and its right to be read is checked as without middleware.
        """
        if self._stream is None:
            return None
        opened, sender = self._stream
        self._has_passed_slot = True

        async def produce(sink: Sink) -> None:
            sender.reader = sink
            await answer.produce(sink)
            if sender.failure is not None:
                raise sender.failure

        stream = replace(
            opened.stream,
            produce=produce,
            media_type=answer.media_type,
            headers=answer.headers,
            heartbeat=b"",
            status=answer.status,
            whole_within=0.0,
        )
        return replace(opened, stream=stream)


def _skips_middleware(path: str) -> bool:
    return path in RESERVED or path == _CONSOLE or path.startswith(_CONSOLE + "/")


def _converted(answer: Response, raw: RawRequest, request_id: str) -> Reply:
    """A whole answer. For a path that neither the server nor the app has, it is JSON, which clients read."""
    if is_standard_not_found(answer.status, answer.media_type, answer.body):
        return problem(NotFound("Not Found"), request_id, answer.headers)
    if raw.method == "HEAD" and not answer.body:  # as a Response its content-length would be 0
        return Streaming(answer.status, answer.headers, answer.media_type, iter(()))
    return answer
