"""The open streams of this process: their limit, their counts, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import structlog

from robyn_server.core.errors import TooMany, Unavailable
from robyn_server.web.http.messages import JSON, End, Stream

from .authorization import StreamAuthorization
from .bridge import BUFFER_BYTES, STALL_SECONDS, ResponseIterator, StreamWriter, ThreadQueue, do_nothing
from .slots import StreamSlot, StreamSlots

log = structlog.get_logger(__name__)


class OpenStream:
    """One stream, from its first frame until its producer has returned."""

    def __init__(
        self,
        stream: Stream,
        writer: StreamWriter,
        thread_queue: ThreadQueue,
        slot: StreamSlot | None,
        authorization: StreamAuthorization | None,
    ) -> None:
        self.stream = stream
        self.writer = writer
        self.queue = thread_queue
        self.slot = slot
        self.authorization = authorization
        self.task: asyncio.Task[None] | None = None
        self.is_truncated = False
        self.has_begun = False
        """The status line is sent: all that a failure leaves is to end the body."""
        self.failure: Exception | None = None

    def stop(self, reason: End) -> None:
        """Cancel the producer; its `finally` runs on the loop."""
        if self.writer.end is None and self.task is not None:
            self.writer.end = reason
            self.task.cancel(reason.value)


class OpenStreams:
    """The streams of this process. `open` have a reader; `producing` have a producer that has not returned."""

    def __init__(
        self,
        limit: int,
        heartbeat_seconds: float,
        buffer_bytes: int = BUFFER_BYTES,
        stall_seconds: float = STALL_SECONDS,
        share: int | None = None,
    ) -> None:
        """`share`: streams that one principal may have; None: as many as `limit`."""
        self.limit = limit
        self.slots = StreamSlots(share)
        self.slow_readers = 0
        self.refused = 0
        self.disconnected = 0
        self.ended_as_refused = 0
        self._heartbeat_seconds = heartbeat_seconds
        self._buffer_bytes = buffer_bytes
        self._stall_seconds = stall_seconds
        self._reserved = 0
        self._open: set[OpenStream] = set()
        self._producing: set[OpenStream] = set()

    @property
    def open(self) -> int:
        """Streams that a client reads."""
        return len(self._open)

    @property
    def producing(self) -> int:
        """Producers that have not returned, with or without a client."""
        return len(self._producing)

    def __iter__(self) -> Iterator[OpenStream]:
        """Streams that are still produced."""
        return iter(list(self._producing))

    @contextlib.contextmanager
    def reserve(self, identity: str) -> Iterator[StreamSlot]:
        """Reserve a slot for a stream that the block may start, before its request has any effect: a refused client
        tries again.

        Raises TooMany when the principal has its share, Unavailable when the limit of the process is reached.
        """
        slot = self._take_slot(identity)
        self._reserved += 1
        try:
            yield slot
        finally:
            self._reserved -= 1
            if not slot.is_occupied:
                slot.release()

    def _take_slot(self, identity: str) -> StreamSlot:
        try:
            slot = self.slots.acquire(identity)
        except TooMany:
            self.refused += 1
            raise
        if len(self._open) + self._reserved < self.limit:
            return slot
        slot.release()
        self.refused += 1
        raise Unavailable("Too many open streams; try again later.", code="too_many_streams")

    async def answer(
        self, stream: Stream, slot: StreamSlot | None = None, authorization: StreamAuthorization | None = None
    ) -> bytes | ResponseIterator:
        """Begin to produce `stream`, for which room was promised. Return its body if it is whole in
        `stream.whole_within`.

        Without `authorization` nobody's right to it is asked for again. Raises what the producer raised in that time.
        """
        opened, task = self._begin(stream, slot, authorization)
        if not stream.whole_within:
            return self._iterator(opened)
        try:
            await asyncio.wait({task}, timeout=stream.whole_within)
        except asyncio.CancelledError:
            self._on_close(opened)
            raise
        if not task.done() or opened.is_truncated:
            return self._iterator(opened)
        self._on_close(opened)
        if opened.failure is not None:
            raise opened.failure
        return opened.queue.read_all()

    def _begin(
        self, stream: Stream, slot: StreamSlot | None, authorization: StreamAuthorization | None
    ) -> tuple[OpenStream, asyncio.Task[None]]:
        loop = asyncio.get_running_loop()
        thread_queue = ThreadQueue(loop)
        writer = StreamWriter(thread_queue, self._buffer_bytes, self._stall_seconds)
        opened = OpenStream(stream, writer, thread_queue, slot, authorization)
        if slot is not None:
            slot.is_occupied = True
        opened.writer.on_stall = lambda: self._on_stall(opened)
        self._open.add(opened)
        self._producing.add(opened)
        task = opened.task = loop.create_task(self._produce(opened))
        return opened, task

    def _iterator(self, opened: OpenStream) -> ResponseIterator:
        opened.has_begun = True
        heartbeat = opened.stream.heartbeat
        return ResponseIterator(opened.queue, heartbeat, self._heartbeat_seconds, lambda: self._on_close(opened))

    async def _produce(self, opened: OpenStream) -> None:
        try:
            await opened.stream.produce(opened.writer)
        except asyncio.CancelledError:
            log.debug("stream.cancelled", reason=opened.writer.end)
        except Exception as error:
            opened.failure = error
            if opened.has_begun and isinstance(error, Unavailable):
                log.warning("stream.ended", error=error.detail)  # its client asks again
            elif opened.has_begun:
                log.exception("stream.failed")
        finally:
            self._producing.discard(opened)
            if not opened.is_truncated:
                opened.queue.finish()

    def _on_close(self, opened: OpenStream) -> None:
        """The iterator is gone: it was read to its end, or the client disconnected. Called once or twice."""
        if opened.slot is not None:
            opened.slot.release()
        if opened in self._open and opened in self._producing:
            self.disconnected += 1
            opened.stop(End.CLIENT_GONE)
        self._open.discard(opened)
        opened.writer.on_stall = do_nothing  # breaks a reference cycle; the garbage collector runs seldom

    def _on_stall(self, opened: OpenStream) -> None:
        """End a stream whose client does not read. It occupies no thread any more, only its socket."""
        self.slow_readers += 1
        self._open.discard(opened)
        opened.stop(End.SLOW_READER)
        log.info("stream.slow_reader", pending_bytes=opened.queue.pending_bytes)

    def refuse(self, opened: OpenStream, final_frame: bytes) -> None:
        """End a stream that its client may no longer read. A JSON response that has begun stays whole."""
        whole = opened.stream.media_type == JSON and opened.queue.put_bytes > 0
        if whole or opened.writer.closed or opened not in self._producing:
            return
        self.ended_as_refused += 1
        opened.queue.put(final_frame)
        opened.stop(End.REFUSED)

    def end_resumable(self) -> None:
        """End the streams that clients can resume on another server. Called when the server drains."""
        for opened in list(self._producing):
            if opened.stream.resumable:
                opened.stop(End.DRAINING)

    def truncate_all(self) -> None:
        """Stop all producers and leave their bodies unterminated, so that clients see an error and not a short
        response.

        Called when the server exits.
        """
        for opened in list(self._producing):
            opened.is_truncated = True
            opened.stop(End.DRAINING)
