"""Takes what runs say and how they end, and writes it: many runs in one statement, one statement in flight, at once when idle.

Rules
  1. Events of a run are numbered here, by the lease holder: a single writer, so there are no gaps.
  2. A flush that failed is repeated as it was; the database skips what it has already.
  3. Whoever waits for a run's end waits until it is committed. Only then are readers woken.
  4. What is written for a run that is not held any more is dropped by the database, and its worker is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import orjson
import structlog

from robyn_server.core.errors import Unavailable
from robyn_server.core.runs import ClaimedRun, RunEnd, RunEvent, RunStatus, ThreadStatus
from robyn_server.storage.runs import EndedRun, RunQueue

from .background import backoff
from .channels import EVENTS, RUNS, Notifier

_LARGEST_FLUSH = 1_000
_BACKLOG = 10_000
"""Events that may wait for the database; with more, runs wait before they go on."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    events: list[tuple[ClaimedRun, RunEvent]] = field(default_factory=list)
    ends: list[EndedRun] = field(default_factory=list)
    committed: list[asyncio.Future[None]] = field(default_factory=list)

    def take(self) -> _Waiting:
        """The next flush. Ends go only with the last of the events: none may overtake its run's events."""
        if len(self.events) > _LARGEST_FLUSH:
            taken = _Waiting(self.events[:_LARGEST_FLUSH])
            del self.events[:_LARGEST_FLUSH]
            return taken
        taken = _Waiting(self.events, self.ends, self.committed)
        self.events, self.ends, self.committed = [], [], []
        return taken

    def runs(self) -> list[ClaimedRun]:
        every = [run for run, _ in self.events] + [end.run for end in self.ends]
        return list({run.run_id: run for run in every}.values())

    @property
    def is_empty(self) -> bool:
        return not (self.events or self.ends)


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
    def __init__(self, queue: RunQueue, notifier: Notifier, worker_id: UUID, lost: Callable[[set[UUID]], None]) -> None:
        self._queue = queue
        self._notifier = notifier
        self._worker_id = worker_id
        self._lost = lost
        self._waiting = _Waiting()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name="event writer")

    async def stop(self) -> None:
        """Stops without writing the rest: its runs were ended or given back before."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def put(self, run: ClaimedRun, event: RunEvent) -> None:
        self._waiting.events.append((run, event))
        self._arrived.set()
        if len(self._waiting.events) >= _BACKLOG:
            self._room.clear()
            await self._room.wait()

    async def end(self, run: ClaimedRun, end: RunEnd) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.ends.append(EndedRun(run, end, _result(end)))
        self._waiting.committed.append(committed)
        self._arrived.set()
        await committed

    async def _loop(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while not self._waiting.is_empty:
                await self._flush(self._waiting.take())
                self._room.set()

    async def _flush(self, batch: _Waiting) -> None:
        lost, woke = await self._written(batch)
        for future in batch.committed:
            if not future.done():
                future.set_result(None)
        self._notifier.notify(EVENTS, {str(run.run_id) for run in batch.runs()})
        if woke:
            self._notifier.notify(RUNS)
        if lost:
            self._lost(lost)

    async def _written(self, batch: _Waiting) -> tuple[set[UUID], bool]:
        try:
            return await self._insist(batch.events, batch.ends)
        except Exception:  # noqa: BLE001 - one run that the database refuses must not take the others with it
            _log.exception("a flush was refused; writing its runs one by one")
        lost: set[UUID] = set()
        woke = False
        for run in batch.runs():
            one_lost, one_woke = await self._one(run, batch)
            lost |= one_lost
            woke = woke or one_woke
        return lost, woke

    async def _one(self, run: ClaimedRun, batch: _Waiting) -> tuple[set[UUID], bool]:
        events = [pair for pair in batch.events if pair[0] is run]
        ends = [end for end in batch.ends if end.run is run]
        try:
            return await self._insist(events, ends)
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("a run's events were refused", run_id=str(run.run_id))
            told = {"error": "RunNotRecorded", "message": f"What the run said cannot be stored: {type(error).__name__}"}
            end = RunEnd(RunStatus.ERROR, ThreadStatus.ERROR, None, error=told)
            _, woke = await self._insist([], [EndedRun(run, end, _result(end))])
            return {run.run_id}, woke

    async def _insist(self, events: list[tuple[ClaimedRun, RunEvent]], ends: list[EndedRun]) -> tuple[set[UUID], bool]:
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
