"""Streams that survive Robyn.

Robyn pulls a body by calling `__next__` of a plain iterator from one of its own threads, and drops the iterator when the
client has gone. What follows from that:

- The iterator only waits on a queue, never longer than a second, so that an overloaded thread pool stays fair.
- The producer is an ordinary task on the event loop. It writes to a `QueueSink` and never refers to the iterator, or the
  iterator's `__del__`, the only word of a disconnect that we get, would never come.
- Each waiting stream holds a thread of Robyn's. Beyond the pool a stream would get its headers and then silence, so the
  streams are counted and the one too many is refused.

       event loop                          Robyn's thread
    produce → QueueSink.put → SimpleQueue → EventStream.__next__ → socket
        ↑ cancel ←──── call_soon_threadsafe ←──── __del__
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import time
from collections.abc import Callable, Iterator

import structlog

from robyn_server.core.errors import TooMany, Unavailable

from .http import JSON, End, Stream
from .seats import Seat, Seats
from .standing import Standing

log = structlog.get_logger(__name__)

SLICE_SECONDS = 1.0
BATCH_ITEMS = 64
BUFFER_BYTES = 1024 * 1024
STALL_SECONDS = 30.0
ROBYN_THREADS = 512
"""Threads for streams of one actix worker, before they are divided by the number of CPUs."""


def workers_for(max_streams: int, cpus: int) -> int:
    """Actix workers whose thread pools hold `max_streams` streams twice over (they are not spread evenly)."""
    return math.ceil(2 * max_streams / max(1, ROBYN_THREADS // cpus))


class Channel:
    """What the two threads share. Each counter has one writer, so no lock is needed."""

    __slots__ = ("items", "loop", "put_bytes", "space", "taken_bytes", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.items: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.loop = loop
        self.put_bytes = 0
        self.taken_bytes = 0
        self.waiting = False
        self.space = asyncio.Event()

    @property
    def pending_bytes(self) -> int:
        return self.put_bytes - self.taken_bytes

    def put(self, data: bytes) -> None:
        self.put_bytes += len(data)
        self.items.put(data)

    def finish(self) -> None:
        self.items.put(None)

    def taken(self, count: int) -> None:
        """Called on the reader's thread."""
        self.taken_bytes += count
        if self.waiting:
            call_on(self.loop, self.space.set)


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """`callback` on the loop's thread; nothing once the loop is closed, when nobody is left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


def _nothing() -> None:
    """What is called where nobody waits to be."""


class EventStream:
    """The iterator that Robyn pulls. `next()` gives b"" when there is nothing yet: actix skips empty chunks."""

    __slots__ = ("_beat_at", "_channel", "_every", "_finished", "_heartbeat", "_on_close")

    def __init__(self, channel: Channel, heartbeat: bytes, every: float, on_close: Callable[[], object]) -> None:
        self._channel = channel
        self._heartbeat = heartbeat
        self._every = every
        self._beat_at = time.monotonic() + every
        self._on_close = on_close
        self._finished = False

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> bytes:
        data = b"" if self._finished else self._take()
        if data:
            self._beat_at = time.monotonic() + self._every
            return data
        if self._finished:
            self._close()
            raise StopIteration
        return self._beat()

    def _beat(self) -> bytes:
        now = time.monotonic()
        if now < self._beat_at:
            return b""
        self._beat_at = now + self._every
        return self._heartbeat

    def _take(self) -> bytes:
        """All that is queued, at most 64 items; waits a slice when there is nothing."""
        try:
            item = self._channel.items.get(timeout=self._patience())
        except queue.Empty:
            return b""
        taken = []
        while item is not None:
            taken.append(item)
            if len(taken) == BATCH_ITEMS or self._channel.items.empty():
                break
            item = self._channel.items.get_nowait()
        self._finished = item is None
        data = b"".join(taken)
        self._channel.taken(len(data))
        return data

    def _patience(self) -> float:
        return min(SLICE_SECONDS, max(0.001, self._beat_at - time.monotonic()))

    def _close(self) -> None:
        call_on(self._channel.loop, self._on_close)

    def __del__(self) -> None:
        self._close()


class QueueSink:
    """See `http.Sink`. Belongs to one producer task."""

    def __init__(self, channel: Channel, buffer_bytes: int, stall_seconds: float) -> None:
        self._channel = channel
        self._buffer_bytes = buffer_bytes
        self._stall_seconds = stall_seconds
        self.on_stall: Callable[[], object] = _nothing
        self.end: End | None = None

    @property
    def closed(self) -> bool:
        return self.end is not None

    async def put(self, data: bytes) -> None:
        if self._is_gone or not data:
            return
        self._channel.put(data)
        if self._channel.pending_bytes > self._buffer_bytes and self.end is None:
            await self._wait_for_space()

    @property
    def _is_gone(self) -> bool:
        """A draining stream still takes last words; nobody reads those of the others."""
        return self.end is not None and self.end is not End.DRAINING

    async def _wait_for_space(self) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._space()
        except TimeoutError:
            self.on_stall()
            await asyncio.sleep(0)  # the cancellation that on_stall asked for arrives here

    async def _space(self) -> None:
        channel = self._channel
        channel.waiting = True
        try:
            while channel.pending_bytes > self._buffer_bytes:
                channel.space.clear()
                # The reader adds to taken_bytes first and looks at `waiting` after, so nothing is missed.
                if channel.pending_bytes > self._buffer_bytes:
                    await channel.space.wait()
        finally:
            channel.waiting = False


class Open:
    """One open stream, as the event loop knows it."""

    def __init__(
        self, stream: Stream, sink: QueueSink, channel: Channel, seat: Seat | None, standing: Standing | None
    ) -> None:
        self.stream = stream
        self.sink = sink
        self.channel = channel
        self.seat = seat
        self.standing = standing
        self.task: asyncio.Task[None] | None = None
        self.is_cut = False

    def stop(self, reason: End) -> None:
        """End the producer; its `finally` runs on the loop."""
        if self.sink.end is None and self.task is not None:
            self.sink.end = reason
            self.task.cancel(reason.value)


class Streams:
    """All open streams of this process, their limit and their counts."""

    def __init__(
        self,
        limit: int,
        heartbeat_seconds: float,
        buffer_bytes: int = BUFFER_BYTES,
        stall_seconds: float = STALL_SECONDS,
        share: int | None = None,
    ) -> None:
        """`share`: how many one principal may have; None: all."""
        self.limit = limit
        self.seats = Seats(share)
        self.slow_readers = 0
        self.refused = 0
        self.disconnected = 0
        self.ended_as_refused = 0
        self._heartbeat_seconds = heartbeat_seconds
        self._buffer_bytes = buffer_bytes
        self._stall_seconds = stall_seconds
        self._promised = 0
        self._open: set[Open] = set()
        self._producing: set[Open] = set()

    @property
    def open(self) -> int:
        """Streams that a client is reading."""
        return len(self._open)

    @property
    def producing(self) -> int:
        """Producers that have not returned yet, with or without a client."""
        return len(self._producing)

    def __iter__(self) -> Iterator[Open]:
        """Those that are still produced."""
        return iter(list(self._producing))

    @contextlib.contextmanager
    def promised(self, identity: str) -> Iterator[Seat]:
        """Room for a stream that the block starts, or not. Before a request has done anything, for whoever is refused tries again.

        Raises TooMany when the principal has its share, Unavailable when as many are open as the limit allows.
        """
        seat = self._seated(identity)
        self._promised += 1
        try:
            yield seat
        finally:
            self._promised -= 1
            if not seat.is_kept:
                seat.leave()

    def _seated(self, identity: str) -> Seat:
        try:
            seat = self.seats.take(identity)
        except TooMany:
            self.refused += 1
            raise
        if len(self._open) + self._promised < self.limit:
            return seat
        seat.leave()
        self.refused += 1
        raise Unavailable("Too many open streams; try again later.", code="too_many_streams")

    def start(self, stream: Stream, seat: Seat | None = None, standing: Standing | None = None) -> EventStream:
        """Begin to produce `stream`, for which room was promised. Without `standing` nobody's right to it is asked for again."""
        loop = asyncio.get_running_loop()
        channel = Channel(loop)
        opened = Open(stream, QueueSink(channel, self._buffer_bytes, self._stall_seconds), channel, seat, standing)
        if seat is not None:
            seat.is_kept = True
        opened.sink.on_stall = lambda: self._stalled(opened)
        self._open.add(opened)
        self._producing.add(opened)
        opened.task = loop.create_task(self._produce(opened))
        return EventStream(channel, stream.heartbeat, self._heartbeat_seconds, lambda: self._closed(opened))

    async def _produce(self, opened: Open) -> None:
        try:
            await opened.stream.produce(opened.sink)
        except asyncio.CancelledError:
            log.debug("stream.cancelled", reason=opened.sink.end)
        except Exception:
            # The status line has gone out: all that is left is to end the body, and to say here why.
            log.exception("stream.failed")
        finally:
            self._producing.discard(opened)
            if not opened.is_cut:
                opened.channel.finish()

    def _closed(self, opened: Open) -> None:
        """The iterator is gone: it was read to its end, or the client went away. Called once or twice."""
        if opened.seat is not None:
            opened.seat.leave()
        if opened in self._open and opened in self._producing:
            self.disconnected += 1
            opened.stop(End.CLIENT_GONE)
        self._open.discard(opened)
        opened.sink.on_stall = _nothing  # it refers to what has the sink, and cycles are looked for seldom

    def _stalled(self, opened: Open) -> None:
        """A reader that does not read holds no thread, only its socket, until it reads on or goes away."""
        self.slow_readers += 1
        self._open.discard(opened)
        opened.stop(End.SLOW_READER)
        log.info("stream.slow_reader", pending_bytes=opened.channel.pending_bytes)

    def refuse(self, opened: Open, last_words: bytes) -> None:
        """End a stream that its reader may not read any more. An answer in JSON that is on its way already stays whole."""
        whole = opened.stream.media_type == JSON and opened.channel.put_bytes > 0
        if whole or opened.sink.closed or opened not in self._producing:
            return
        self.ended_as_refused += 1
        opened.channel.put(last_words)
        opened.stop(End.REFUSED)

    def end_resumable(self) -> None:
        """For a server that drains: what can be picked up elsewhere ends now."""
        for opened in list(self._producing):
            if opened.stream.resumable:
                opened.stop(End.DRAINING)

    def cut_all(self) -> None:
        """For a server that exits: bodies that are not whole must not look as if they were. They are left open, and break with
        the connection: then clients know, and come back."""
        for opened in list(self._producing):
            opened.is_cut = True
            opened.stop(End.DRAINING)
