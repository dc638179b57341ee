"""One request to an app: the task that runs it, what it receives, and what it sends.

    EXPECTS_HEAD ── http.response.start ──→ EXPECTS_BODY ── the last http.response.body ──→ COMPLETE

An answer that is complete at once is sent whole, and occupies no thread. Any other becomes a stream: events at once,
other bodies when they are longer than WHOLE_BYTES, or not complete WHOLE_SECONDS after their head.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

import structlog

from robyn_server.web.http.messages import Response, Sink, Stream

from .answers import AnswerHead, is_standard_failure, parse_head
from .protocol import App, Message, Scope

WHOLE_BYTES = 1024 * 1024
WHOLE_SECONDS = 0.02
LEFT_SECONDS = 10.0
"""Time for which an app may go on sending after its client left. Then `send` raises OSError."""

COMMENT = b":\n"
"""Sent on a silent event stream, because only writing reveals a disconnect. A line of its own is allowed within an
event, too (WHATWG HTML, section 9.2)."""

_log = structlog.get_logger(__name__)


class AppFailed(Exception):
    """The app raised, or did not answer. Its cause says why."""


class _Stage(Enum):
    EXPECTS_HEAD = auto()
    EXPECTS_BODY = auto()
    COMPLETE = auto()


class AppCall:
    """`heartbeat_seconds`: between comments on a silent event stream."""

    def __init__(self, app: App, scope: Scope, body: bytes, heartbeat_seconds: float) -> None:
        self._app = app
        self._scope = scope
        self._body: bytes | None = body
        self._heartbeat_seconds = heartbeat_seconds
        self._stage = _Stage.EXPECTS_HEAD
        self._head: AnswerHead | None = None
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._answerable = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the body is complete, or the client left."""
        self._attached = asyncio.Event()
        self._sink: Sink | None = None
        self._sent = 0
        self._ends_line = True
        self._left_at: float | None = None
        self._is_answered = False
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self._run(), name="http.app")
        return self._task

    async def answer(self) -> Response | Stream:
        """The answer, when it has begun. A Stream is produced by the caller, or given up with `leave`.

        Raises AppFailed.
        """
        try:
            await self._answerable.wait()
        except asyncio.CancelledError:
            self.leave()
            raise
        head = self._head_to_send()
        self._is_answered = True
        is_whole = self._stage is _Stage.COMPLETE
        if is_whole or self._scope["method"] == "HEAD":
            self.leave()
            return Response(head.status, b"".join(self._chunks) if is_whole else b"", head.headers, head.media_type)
        return Stream(self._relay, head.media_type, head.headers, heartbeat=b"", status=head.status)

    def leave(self) -> None:
        """Tell the app that nobody reads its answer any more."""
        if self._left_at is None:
            self._left_at = asyncio.get_running_loop().time()
            self.ended.set()
            self._attached.set()

    def _head_to_send(self) -> AnswerHead:
        head, failure = self._head, self._failure
        if failure is None and head is not None:
            return head
        if failure is None or head is None or self._stage is not _Stage.COMPLETE or self._is_standard_failure(head):
            raise AppFailed("the app of the project failed") from failure
        self._log_failure(failure)
        return head

    def _is_standard_failure(self, head: AnswerHead) -> bool:
        return is_standard_failure(head.status, head.media_type, b"".join(self._chunks))

    # The app's side ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
            if self._stage is not _Stage.COMPLETE and self._left_at is None:
                raise RuntimeError("the app returned before its answer was complete")  # noqa: TRY301
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - an app may raise anything
            self._fail(error if isinstance(error, Exception) else RuntimeError(f"the app raised {error!r}"))
        finally:
            self.ended.set()
            self._answerable.set()

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        if self._is_answered:
            self._log_failure(failure)

    def _log_failure(self, failure: Exception) -> None:
        _log.error("http.app failed", path=self._scope["path"], exc_info=failure)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.ended.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._stage is _Stage.EXPECTS_HEAD:
            self._take_head(parse_head(message))
        elif kind == "http.response.body" and self._stage is _Stage.EXPECTS_BODY:
            await self._take_body(bytes(message.get("body", b"")), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"the app sent {kind!r} when it was not expected")

    def _take_head(self, head: AnswerHead) -> None:
        self._head = head
        self._stage = _Stage.EXPECTS_BODY
        if head.is_event_stream:
            self._answerable.set()
        elif not self._is_short:
            asyncio.get_running_loop().call_later(WHOLE_SECONDS, self._answerable.set)

    @property
    def _is_short(self) -> bool:
        """Whether the app declared a length that is worth waiting for."""
        length = None if self._head is None else self._head.length
        return length is not None and length <= WHOLE_BYTES and self._scope["method"] != "HEAD"

    async def _take_body(self, data: bytes, *, more: bool) -> None:
        if self._left_at is not None:
            await self._discard()
        elif self._sink is not None:
            await self._put(self._sink, data)
        else:
            await self._buffer(data, more=more)
        if not more:
            self._stage = _Stage.COMPLETE
            self.ended.set()
            self._answerable.set()

    async def _discard(self) -> None:
        await asyncio.sleep(0)  # an app that sends without a pause must not hold the loop
        if self._left_at is not None and asyncio.get_running_loop().time() - self._left_at > LEFT_SECONDS:
            raise OSError("the client has disconnected")

    async def _buffer(self, data: bytes, *, more: bool) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if more and self._buffered > WHOLE_BYTES:
            self._answerable.set()
            await self._attached.wait()

    async def _put(self, sink: Sink, data: bytes) -> None:
        if data:
            self._sent += len(data)
            self._ends_line = data.endswith((b"\n", b"\r"))
            await sink.put(data)

    # The client's side ------------------------------------------------------------------------------------------------

    async def _relay(self, sink: Sink) -> None:
        """Produce the stream: first what was buffered. From then on the app's `send` waits for a slow reader."""
        try:
            await self._attach(sink)
            while not await self._has_ended():
                await self._comment(sink)
        finally:
            self.leave()

    async def _attach(self, sink: Sink) -> None:
        while self._chunks:
            await self._put(sink, self._chunks.pop(0))
        self._sink = sink  # not earlier, or the app's next chunk would overtake them
        self._attached.set()

    async def _has_ended(self) -> bool:
        """Whether the app ended its answer before it was silent for a heartbeat."""
        before = -1
        while before != self._sent:
            before = self._sent
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await self.ended.wait()
            except TimeoutError:
                continue
            return True
        return False

    async def _comment(self, sink: Sink) -> None:
        if self._head is not None and self._head.takes_comments and self._ends_line:
            await sink.put(COMMENT)
