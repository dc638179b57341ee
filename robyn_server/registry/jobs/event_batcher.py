"""Store the events that instances send, many jobs in one statement.

Rules
  1. An acknowledged event is committed.
  2. One statement is in flight, and statements begin BATCH_SECONDS apart. Events that arrive meanwhile travel together.
  3. Events of one job are stored in the order in which they arrive. A statement names each job once.
  4. A job may have a window of events that are not acknowledged. Further ones are refused, and never buffered.
  5. A message never makes another one fail: a batch that is refused is bisected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from robyn_server.concurrency.bisect import bisect
from robyn_server.core.errors import AgenthallError, Invalid, TooMany, Unavailable
from robyn_server.core.registry.job_events import JobEvents
from robyn_server.core.registry.jobs import (
    MAX_UNACKNOWLEDGED_BYTES,
    MAX_UNACKNOWLEDGED_EVENTS,
    JobOutcome,
    JobRef,
)
from robyn_server.metrics.definitions import JOB_EVENTS_WRITTEN
from robyn_server.storage.registry.jobs.messages import AppendedEvents, JobMessages

from .announcer import JobAnnouncer
from .fencing import fenced

BATCH_SECONDS = 0.02
MAX_BATCH_EVENTS = 4000
MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Of all jobs of this process."""

_MAX_REFUSALS = 36
_STOP_SECONDS = 3.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pending:
    message: JobEvents
    size: int
    stored: asyncio.Future[int]


@dataclass(slots=True)
class _Window:
    """The messages of one job that are not acknowledged. `in_flight`: the first ones, which are being stored."""

    waiting: deque[_Pending] = field(default_factory=deque)
    in_flight: int = 0
    events: int = 0
    size: int = 0


class EventBatcher:
    def __init__(self, messages: JobMessages, announcer: JobAnnouncer, *, batch_seconds: float = BATCH_SECONDS) -> None:
        self._messages = messages
        self._announcer = announcer
        self._batch_seconds = batch_seconds
        self._windows: dict[JobRef, _Window] = {}
        self._pending_bytes = 0
        self._has_waiting = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_open = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._is_open = True
        self._task = asyncio.create_task(self._loop(), name="job events")

    async def stop(self) -> None:
        """Store what is waiting, if possible."""
        self._is_open = False
        self._stopping.set()
        self._has_waiting.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._task
        for window in list(self._windows.values()):
            self._fail(window.waiting, Unavailable("The server is stopping. Try again."))

    async def submit(self, message: JobEvents) -> int:
        """Store events, and return the number of the last one that is stored.

        A number lower than that of the first event less one means that events before it are missing: nothing of the
        message is stored. Raises Conflict (fenced), TooMany (the window is exceeded), Invalid (the job has too many
        events), Unavailable.
        """
        if not self._is_open:
            raise Unavailable("This process does not accept events now. Try again.")
        return await asyncio.shield(self._enqueue(message))  # a caller that goes away does not change the batch

    def _enqueue(self, message: JobEvents) -> asyncio.Future[int]:
        size = sum(each.size for each in message.events)
        window = self._windows.get(message.ref) or _Window()
        self._ensure_room(window, message, size)
        self._windows[message.ref] = window
        pending = _Pending(message, size, asyncio.get_running_loop().create_future())
        pending.stored.add_done_callback(_ignore)
        window.waiting.append(pending)
        window.events += len(message.events)
        window.size += size
        self._pending_bytes += size
        self._has_waiting.set()
        return pending.stored

    def _ensure_room(self, window: _Window, message: JobEvents, size: int) -> None:
        """Raises TooMany."""
        events = window.events + len(message.events)
        if events > MAX_UNACKNOWLEDGED_EVENTS or window.size + size > MAX_UNACKNOWLEDGED_BYTES:
            raise TooMany(
                f"A job may have {MAX_UNACKNOWLEDGED_EVENTS} events and {MAX_UNACKNOWLEDGED_BYTES} bytes of them"
                " unacknowledged. Wait for an acknowledgement.",
                code="window_exceeded",
                field="events",
            )
        if self._pending_bytes + size > MAX_PENDING_BYTES:
            raise TooMany("The server has more events than it can store now. Try again.", code="events_overdue")

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        while self._is_open or self._has_waiting.is_set():
            await self._has_waiting.wait()
            self._has_waiting.clear()
            began = loop.time()
            await self._flush(self._next_batch())
            if any(window.waiting for window in self._windows.values()):
                self._has_waiting.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(began + self._batch_seconds):
                    await self._stopping.wait()

    def _next_batch(self) -> list[JobRef]:
        """Mark the messages of the next statement as in flight, and return their jobs: those that wait longest."""
        batch: dict[UUID, JobRef] = {}
        count = 0
        for ref, window in self._windows.items():
            if count >= MAX_BATCH_EVENTS:
                break
            if ref.job_id in batch:  # another epoch or attempt of it; rule 3
                continue
            window.in_flight = _contiguous(window.waiting)
            count += window.events
            batch[ref.job_id] = ref
        for ref in batch.values():  # the others are first next time
            self._windows[ref] = self._windows.pop(ref)
        return list(batch.values())

    async def _flush(self, batch: Sequence[JobRef]) -> None:
        if batch:
            try:
                await bisect(batch, self._write, self._refuse, max_refusals=_MAX_REFUSALS, fatal=AgenthallError)
            except BaseException:
                self._refuse(batch, Unavailable("The server is stopping. Try again."))
                raise

    async def _write(self, batch: Sequence[JobRef]) -> None:
        messages = [_merged(self._in_flight(ref)) for ref in batch]
        results = await self._messages.append_events(messages)
        JOB_EVENTS_WRITTEN.inc(by=sum(len(each.events) for each in messages))
        self._announcer.changed(ref.job_id for ref in batch if results[ref.job_id].outcome is JobOutcome.OK)
        for ref in batch:
            self._answer(ref, results[ref.job_id])

    def _in_flight(self, ref: JobRef) -> list[_Pending]:
        window = self._windows[ref]
        return [each for each, _ in zip(window.waiting, range(window.in_flight), strict=False)]

    def _answer(self, ref: JobRef, result: AppendedEvents) -> None:
        if result.outcome is JobOutcome.FENCED or result.applied_through is None:
            self._fail(self._in_flight(ref), fenced())
        elif result.outcome is JobOutcome.FULL:
            self._fail(self._in_flight(ref), _full())
        else:
            for each in self._in_flight(ref):
                self._forget(each)
                if not each.stored.done():
                    each.stored.set_result(result.applied_through)

    def _refuse(self, batch: Sequence[JobRef], error: Exception) -> None:
        if not isinstance(error, AgenthallError):
            _log.error("events of jobs were refused", jobs=len(batch), job_id=str(batch[0].job_id), exc_info=error)
        for ref in batch:
            if ref in self._windows:
                self._fail(self._in_flight(ref), error)

    def _fail(self, messages: Iterable[_Pending], error: Exception) -> None:
        for each in list(messages):
            self._forget(each)
            if not each.stored.done():
                each.stored.set_exception(error)

    def _forget(self, pending: _Pending) -> None:
        """Remove a message from its window."""
        window = self._windows[pending.message.ref]
        window.waiting.remove(pending)
        window.in_flight -= 1
        window.events -= len(pending.message.events)
        window.size -= pending.size
        self._pending_bytes -= pending.size
        if not window.waiting:
            del self._windows[pending.message.ref]


def _contiguous(waiting: Iterable[_Pending]) -> int:
    """Count the first messages whose numbers follow each other. They are stored as one."""
    count, following = 0, 0
    for each in waiting:
        if count and each.message.first_seq != following:
            break
        count, following = count + 1, each.message.last_seq + 1
    return count


def _merged(messages: Sequence[_Pending]) -> JobEvents:
    first = messages[0].message
    return JobEvents(first.ref, first.first_seq, [event for each in messages for event in each.message.events])


def _full() -> Invalid:
    return Invalid(
        "events: the attempt of this job has more bytes of events than are allowed (mcp.max_job_events)",
        code="too_many_events",
        field="events",
    )


def _ignore(stored: asyncio.Future[int]) -> None:
    """Retrieve the exception of a message whose caller has gone, or asyncio would log it."""
    if not stored.cancelled():
        stored.exception()
