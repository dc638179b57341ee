"""Writes the events and ends of runs: many runs in one statement, one statement in flight, at once when idle.

A flush of events alone is followed by a pause, which an end cuts short.

Rules
  1. The holder of the lease numbers the events of a run: a single writer, so there are no gaps.
  2. A failed flush is repeated unchanged; the database skips what it has already. After a crash of the database the
     latest events are repeated, too, because a crash may undo flushes that were confirmed.
  3. `end` returns after the end is committed. Readers are woken only then.
  4. The database drops writes for a run whose lease is lost, and the worker is notified.
  5. A run that the database refuses ends in an error. When that is refused, too, its lease lapses. Nothing stops the
     writer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import orjson
import structlog

from robyn_server.concurrency.periodic import backoff
from robyn_server.core.errors import Unavailable
from robyn_server.core.runs import LAST, ClaimedRun, EventTransport, RunEnd, RunEvent, RunStatus, ThreadStatus
from robyn_server.metrics.definitions import EVENT_WRITE_SECONDS, EVENTS_WAITING, EVENTS_WRITTEN
from robyn_server.storage.postgres.notify import EVENTS, RUNS, Notifier
from robyn_server.storage.runs.queue import EndedRun, EventsUndone, RunLease, RunQueue

from .pacing import pause_after
from .recent_events import RecentEvents, WrittenEvent

_LARGEST_FLUSH = 1_000
_FLUSH_CHARACTERS = 4_000_000
"""A flush ends with the event that exceeds it."""
_BACKLOG = 10_000
_BACKLOG_CHARACTERS = 8_000_000
"""Events, and characters of events, that may wait for the database. Beyond it, runs wait."""

_log = structlog.get_logger(__name__)


Ending: TypeAlias = tuple[EndedRun, asyncio.Future[None]]
"""The end of a run, and a future that is done when it is committed."""


@dataclass(slots=True)
class _Buffer:
    events: list[tuple[ClaimedRun, RunEvent]] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    characters: int = 0

    def add(self, run: ClaimedRun, event: RunEvent) -> None:
        self.events.append((run, event))
        self.characters += len(event.data)

    @property
    def is_full(self) -> bool:
        return len(self.events) >= _BACKLOG or self.characters >= _BACKLOG_CHARACTERS

    def next_batch(self) -> _Buffer:
        """Remove and return the next flush.

        An end goes with the last event of its run: neither before it, nor after other runs.
        """
        batch = _Buffer(self.events[: self._flush_length()])
        del self.events[: len(batch.events)]
        self.characters -= sum(len(event.data) for _, event in batch.events)
        left = {id(run) for run, _ in self.events}
        batch.endings = [each for each in self.endings if id(each[0].run) not in left]
        self.endings = [each for each in self.endings if id(each[0].run) in left]
        return batch

    def _flush_length(self) -> int:
        characters = 0
        for length, (_, event) in enumerate(self.events[:_LARGEST_FLUSH], 1):
            characters += len(event.data)
            if characters >= _FLUSH_CHARACTERS:
                return length
        return _LARGEST_FLUSH

    @property
    def ends(self) -> list[EndedRun]:
        return [end for end, _ in self.endings]

    def runs(self) -> list[ClaimedRun]:
        every = [run for run, _ in self.events] + [end.run for end in self.ends]
        return list({id(run): run for run in every}.values())

    @property
    def is_empty(self) -> bool:
        return not (self.events or self.endings)


class EventWriter:
    """The sink of PostgreSQL."""

    def __init__(
        self, queue: RunQueue, notifier: Notifier, worker_id: UUID, on_lost: Callable[[set[RunLease]], None]
    ) -> None:
        self._queue = queue
        self._notifier = notifier
        self._worker_id = worker_id
        self._on_lost = on_lost
        self._buffer = _Buffer()
        self._recent = RecentEvents()
        self._arrived = asyncio.Event()
        self._hurry = asyncio.Event()
        """An end waits, or the buffer is full."""
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        EVENTS_WAITING.set_function(lambda: len(self._buffer.events), EventTransport.POSTGRES)
        self._task = asyncio.create_task(self._loop(), name="event writer")

    async def stop(self) -> None:
        """Stop without writing the rest: its runs were ended or released before."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def settle(self, seconds: float) -> None:
        """Wait until everything is written, at most `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def begin(self, run: ClaimedRun) -> int:
        return run.last_seq  # claiming the run has ended the attempts before

    async def add(self, run: ClaimedRun, event: RunEvent) -> None:
        self.put(run, [event])
        if self._buffer.is_full:
            self._room.clear()
            self._hurry.set()
            await self._room.wait()

    def put(self, run: ClaimedRun, events: Iterable[RunEvent]) -> None:
        """Add events without waiting for room."""
        for event in events:
            self._buffer.add(run, event)
        self._wake()

    def close(self, run: ClaimedRun) -> None:
        """Nothing is kept for a run."""

    async def end(self, run: ClaimedRun, end: RunEnd, last_seq: int) -> None:
        if run.event_transport is EventTransport.REDIS:
            self._buffer.add(run, RunEvent(last_seq + 1, run.attempt, LAST, ""))
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer.endings.append((EndedRun(run, end, _result(end)), committed))
        self._hurry.set()
        self._wake()
        await committed

    def _wake(self) -> None:
        self._idle.clear()
        self._arrived.set()

    async def _loop(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while not self._buffer.is_empty:
                self._hurry.clear()
                batch = self._buffer.next_batch()
                if not self._buffer.is_empty:
                    self._hurry.set()
                await self._flush(batch)
                self._room.set()
                await self._pause(pause_after(len(batch.events)))
            self._idle.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    async def _flush(self, batch: _Buffer) -> None:
        began = time.monotonic()
        lost, woke = await self._write(batch)
        EVENT_WRITE_SECONDS.observe(time.monotonic() - began, EventTransport.POSTGRES)
        EVENTS_WRITTEN.inc(EventTransport.POSTGRES, by=len(batch.events))
        for _, future in batch.endings:
            if not future.done():
                future.set_result(None)
        self._notifier.notify(EVENTS, {str(run.run_id) for run in batch.runs()})
        if woke:
            self._notifier.notify(RUNS)
        if lost:
            self._on_lost(lost)

    async def _write(self, batch: _Buffer) -> tuple[set[RunLease], bool]:
        try:
            return await self._flush_until_answered(batch.events, batch.ends)
        except Exception:  # noqa: BLE001 - one refused run must not fail the others
            _log.exception("a flush was refused; writing its runs one by one")
        lost: set[RunLease] = set()
        woke = False
        for run in batch.runs():
            one_lost, one_woke = await self._write_run(run, batch)
            lost |= one_lost
            woke = woke or one_woke
        return lost, woke

    async def _write_run(self, run: ClaimedRun, batch: _Buffer) -> tuple[set[RunLease], bool]:
        events = [pair for pair in batch.events if pair[0] is run]
        ends = [end for end in batch.ends if end.run is run]
        try:
            return await self._flush_until_answered(events, ends)
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("a run's events were refused", run_id=str(run.run_id))
            return {(run.run_id, run.attempt)}, await self._refuse(run, type(error).__name__)

    async def _refuse(self, run: ClaimedRun, reason: str) -> bool:
        body = {"error": "RunNotRecorded", "message": f"The events of the run cannot be stored: {reason}"}
        end = RunEnd(RunStatus.ERROR, ThreadStatus.ERROR, None, error=body)
        try:
            _, woke = await self._flush_until_answered([], [EndedRun(run, end, _result(end))])
        except Exception:  # noqa: BLE001 - rule 5: its lease lapses, and its attempts are counted
            _log.exception("a run's end was refused", run_id=str(run.run_id))
            return False
        return woke

    async def _flush_until_answered(
        self, events: list[WrittenEvent], ends: list[EndedRun]
    ) -> tuple[set[RunLease], bool]:
        """Repeat the flush until the database answers."""
        failures, repeated = 0, list[WrittenEvent]()
        while True:
            try:
                answer = await self._queue.flush(self._worker_id, [*repeated, *events], ends)
            except EventsUndone:
                repeated += self._recent.take_all()
                _log.warning("the database has crashed; the latest events are written again", events=len(repeated))
            except Unavailable as error:
                failures += 1
                _log.warning("events wait for the database", error=error.detail, in_a_row=failures)
                await asyncio.sleep(backoff(failures, 0.1, 5.0))
            else:
                self._remember([*repeated, *events], is_on_disk=bool(ends))
                return answer

    def _remember(self, events: list[WrittenEvent], *, is_on_disk: bool) -> None:
        """Keep what a crash may undo. The commit of an end waits for the disk, and so for all commits before it."""
        if is_on_disk:
            self._recent.clear()
        else:
            self._recent.add(events)


def _result(end: RunEnd) -> bytes:
    values = orjson.Fragment(end.values) if end.values is not None else None
    return orjson.dumps({"status": end.status, "values": values, "error": end.error})
