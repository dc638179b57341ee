"""The bridge from a producer on the event loop to the thread that sends its bytes.

Robyn pulls a body by calling `__next__` of a plain iterator from one of its threads, and drops the iterator when the
client disconnects. Therefore:

- The iterator only waits on a queue, at most a second, so that an overloaded thread pool stays fair.
- The producer is a task on the event loop. It writes to a `StreamWriter` and holds no reference to the iterator: the
  iterator's `__del__` is the only sign of a disconnect, and a reference would prevent it.
- Each waiting stream occupies a thread of Robyn. Beyond the pool a stream would get its headers and then nothing, so
  streams are counted, and refused above a limit (`open_streams.py`).

       event loop                          Robyn's thread
    produce → StreamWriter.put → SimpleQueue → ResponseIterator.__next__ → socket
        ↑ cancel ←──── call_soon_threadsafe ←──── __del__
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from collections.abc import Callable

from robyn_server.web.http.messages import End

SLICE_SECONDS = 1.0
BATCH_ITEMS = 64
BUFFER_BYTES = 1024 * 1024
STALL_SECONDS = 30.0


class ThreadQueue:
    """The state that both threads share. Each counter has one writer, so no lock is needed."""

    __slots__ = ("items", "loop", "put_bytes", "read_bytes", "space", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.items: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.loop = loop
        self.put_bytes = 0
        self.read_bytes = 0
        self.waiting = False
        self.space = asyncio.Event()

    @property
    def pending_bytes(self) -> int:
        return self.put_bytes - self.read_bytes

    def put(self, data: bytes) -> None:
        self.put_bytes += len(data)
        self.items.put(data)

    def finish(self) -> None:
        self.items.put(None)

    def read_all(self) -> bytes:
        """The body of a producer that has returned, for a response without an iterator."""
        return b"".join(iter(self.items.get_nowait, None))

    def record_read(self, count: int) -> None:
        """Called on the reader's thread."""
        self.read_bytes += count
        if self.waiting:
            call_on(self.loop, self.space.set)


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call `callback` on the loop's thread. Does nothing once the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


def do_nothing() -> None:
    """The default callback."""


class ResponseIterator:
    """The iterator that Robyn pulls. `next()` returns b"" when nothing is queued yet: actix skips empty chunks."""

    __slots__ = ("_every", "_finished", "_heartbeat", "_heartbeat_at", "_on_close", "_queue")

    def __init__(
        self, thread_queue: ThreadQueue, heartbeat: bytes, every: float, on_close: Callable[[], object]
    ) -> None:
        self._queue = thread_queue
        self._heartbeat = heartbeat
        self._every = every
        self._heartbeat_at = time.monotonic() + every
        self._on_close = on_close
        self._finished = False

    def __iter__(self) -> ResponseIterator:
        return self

    def __next__(self) -> bytes:
        data = b"" if self._finished else self._take()
        if data:
            self._heartbeat_at = time.monotonic() + self._every
            return data
        if self._finished:
            self._close()
            raise StopIteration
        return self._heartbeat_if_due()

    def _heartbeat_if_due(self) -> bytes:
        now = time.monotonic()
        if now < self._heartbeat_at:
            return b""
        self._heartbeat_at = now + self._every
        return self._heartbeat

    def _take(self) -> bytes:
        """Return what is queued, at most BATCH_ITEMS; wait up to SLICE_SECONDS for the first item."""
        try:
            item = self._queue.items.get(timeout=self._wait_seconds())
        except queue.Empty:
            return b""
        items = []
        while item is not None:
            items.append(item)
            if len(items) == BATCH_ITEMS or self._queue.items.empty():
                break
            item = self._queue.items.get_nowait()
        self._finished = item is None
        data = b"".join(items)
        self._queue.record_read(len(data))
        return data

    def _wait_seconds(self) -> float:
        return min(SLICE_SECONDS, max(0.001, self._heartbeat_at - time.monotonic()))

    def _close(self) -> None:
        call_on(self._queue.loop, self._on_close)

    def __del__(self) -> None:
        self._close()


class StreamWriter:
    """The `Sink` of one producer task."""

    def __init__(self, thread_queue: ThreadQueue, buffer_bytes: int, stall_seconds: float) -> None:
        self._queue = thread_queue
        self._buffer_bytes = buffer_bytes
        self._stall_seconds = stall_seconds
        self.on_stall: Callable[[], object] = do_nothing
        self.end: End | None = None

    @property
    def closed(self) -> bool:
        return self.end is not None

    async def put(self, data: bytes) -> None:
        if self._is_gone or not data:
            return
        self._queue.put(data)
        if self._queue.pending_bytes > self._buffer_bytes and self.end is None:
            await self._wait_for_space()

    @property
    def _is_gone(self) -> bool:
        """Whether nobody reads any more. A draining stream still sends its last frames."""
        return self.end is not None and self.end is not End.DRAINING

    async def _wait_for_space(self) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._space()
        except TimeoutError:
            self.on_stall()
            await asyncio.sleep(0)  # the cancellation that on_stall requested arrives here

    async def _space(self) -> None:
        thread_queue = self._queue
        thread_queue.waiting = True
        try:
            while thread_queue.pending_bytes > self._buffer_bytes:
                thread_queue.space.clear()
                # The reader adds to read_bytes before it checks `waiting`, so no wake-up is missed.
                if thread_queue.pending_bytes > self._buffer_bytes:
                    await thread_queue.space.wait()
        finally:
            thread_queue.waiting = False
