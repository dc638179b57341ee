"""Takes what runs say and how they end, and writes it: many runs in one statement, one statement in flight, at once when idle.

Rules
  1. Events of a run are numbered here, by the lease holder: a single writer, so there are no gaps.
  2. A flush that failed is repeated as it was; the database skips what it has already.
  3. Whoever waits for a run's end waits until it is committed. Only then are readers woken.
  4. What is written for a run that is not held any more is dropped by the database, and its worker is told.
  5. A run that the database refuses ends in an error; one whose error is refused too is let go. Nothing stops the writer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import orjson
import structlog

from robyn_server.core.errors import Unavailable
from robyn_server.core.runs import ClaimedRun, RunEnd, RunEvent, RunStatus, ThreadStatus
from robyn_server.storage.runs import EndedRun, Held, RunQueue

from .background import backoff
from .channels import EVENTS, RUNS, Notifier

_LARGEST_FLUSH = 1_000
_BACKLOG = 10_000
"""Events that may wait for the database; with more, runs wait before they go on."""

_log = structlog.get_logger(__name__)


Ending: TypeAlias = tuple[EndedRun, asyncio.Future[None]]
"""A run's end, and who waits until it is committed."""


@dataclass(slots=True)
class _Waiting:
    events: list[tuple[ClaimedRun, RunEvent]] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def take(self) -> _Waiting:
        """The next flush. An end goes with the last of its run's events: it must not overtake one, nor wait for other runs'."""
        taken = _Waiting(self.events[:_LARGEST_FLUSH])
        del self.events[:_LARGEST_FLUSH]
        left = {id(run) for run, _ in self.events}
        taken.endings = [each for each in self.endings if id(each[0].run) not in left]
        self.endings = [each for each in self.endings if id(each[0].run) in left]
        return taken

    @property
    def ends(self) -> list[EndedRun]:
        return [end for end, _ in self.endings]

    def runs(self) -> list[ClaimedRun]:
        every = [run for run, _ in self.events] + [end.run for end in self.ends]
        return list({id(run): run for run in every}.values())

    @property
    def is_empty(self) -> bool:
        return not (self.events or self.endings)


class RunWriter:
    """Numbers and hands on the events of one run."""

    def __init__(self, writer: EventWriter, run: ClaimedRun) -> None:
        self._writer = writer
        self._run = run
        self._seq = run.last_seq

    async def emit(self, event: str, data: bytes) -> None:
        self._seq += 1
        await self._writer.put(self._run, RunEvent(self._seq, self._run.attempt, event, data.decode()))

    async def end(self, end: RunEnd) -> None:
        """Returns when the end is committed, or when it is known that the run is not ours any more."""
        await self._writer.end(self._run, end)


class EventWriter:
    def __init__(self, queue: RunQueue, notifier: Notifier, worker_id: UUID, lost: Callable[[set[Held]], None]) -> None:
        self._queue = queue
        self._notifier = notifier
        self._worker_id = worker_id
        self._lost = lost
        self._waiting = _Waiting()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name="event writer")

    async def stop(self) -> None:
        """Stops without writing the rest: its runs were ended or given back before."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def settle(self, seconds: float) -> None:
        """Returns when all that waits is written, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def put(self, run: ClaimedRun, event: RunEvent) -> None:
        self._waiting.events.append((run, event))
        self._has_work()
        if len(self._waiting.events) >= _BACKLOG:
            self._room.clear()
            await self._room.wait()

    async def end(self, run: ClaimedRun, end: RunEnd) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.endings.append((EndedRun(run, end, _result(end)), committed))
        self._has_work()
        await committed

    def _has_work(self) -> None:
        self._idle.clear()
        self._arrived.set()

    async def _loop(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while not self._waiting.is_empty:
                await self._flush(self._waiting.take())
                self._room.set()
            self._idle.set()

    async def _flush(self, batch: _Waiting) -> None:
        lost, woke = await self._written(batch)
        for _, future in batch.endings:
            if not future.done():
                future.set_result(None)
        self._notifier.notify(EVENTS, {str(run.run_id) for run in batch.runs()})
        if woke:
            self._notifier.notify(RUNS)
        if lost:
            self._lost(lost)

    async def _written(self, batch: _Waiting) -> tuple[set[Held], bool]:
        try:
            return await self._insist(batch.events, batch.ends)
        except Exception:  # noqa: BLE001 - one run that the database refuses must not take the others with it
            _log.exception("a flush was refused; writing its runs one by one")
        lost: set[Held] = set()
        woke = False
        for run in batch.runs():
            one_lost, one_woke = await self._one(run, batch)
            lost |= one_lost
            woke = woke or one_woke
        return lost, woke

    async def _one(self, run: ClaimedRun, batch: _Waiting) -> tuple[set[Held], bool]:
        events = [pair for pair in batch.events if pair[0] is run]
        ends = [end for end in batch.ends if end.run is run]
        try:
            return await self._insist(events, ends)
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("a run's events were refused", run_id=str(run.run_id))
            return {(run.run_id, run.attempt)}, await self._refuse(run, type(error).__name__)

    async def _refuse(self, run: ClaimedRun, reason: str) -> bool:
        told = {"error": "RunNotRecorded", "message": f"What the run said cannot be stored: {reason}"}
        end = RunEnd(RunStatus.ERROR, ThreadStatus.ERROR, None, error=told)
        try:
            _, woke = await self._insist([], [EndedRun(run, end, _result(end))])
        except Exception:  # noqa: BLE001 - rule 5: it is let go, its lease lapses, and its attempts are counted
            _log.exception("a run's end was refused", run_id=str(run.run_id))
            return False
        return woke

    async def _insist(self, events: list[tuple[ClaimedRun, RunEvent]], ends: list[EndedRun]) -> tuple[set[Held], bool]:
        """Repeats the flush until the database answers."""
        failures = 0
        while True:
            try:
                return await self._queue.flush(self._worker_id, events, ends)
            except Unavailable as error:
                failures += 1
                _log.warning("events wait for the database", error=error.detail, in_a_row=failures)
                await asyncio.sleep(backoff(failures, 0.1, 5.0))


def _result(end: RunEnd) -> bytes:
    values = orjson.Fragment(end.values) if end.values is not None else None
    return orjson.dumps({"status": end.status, "values": values, "error": end.error})
