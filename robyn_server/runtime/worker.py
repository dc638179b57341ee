"""A worker: claims runs, executes them, keeps their leases, and rescues the runs of workers that are gone.

Rules
  1. A lease is on the database's clock. A worker that could not renew for as long as a lease lasts stops its runs itself: by
     then another may have them. A run that turns out to be somebody else's is stopped at once. Until it notices, the database
     refuses what it writes: events, ends (flush_runs) and checkpoints (assert_held).
  2. A stop drains: no more claims; runs may finish within the grace; the rest are given back and go on elsewhere.
  3. What is held is a run in one of its attempts: after a pause a worker may be given a run of its own again.
  4. A worker that takes the place of a dead one has its id, and gives back what that one had before it claims anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from robyn_server.core.errors import Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun, RunEnd, RunStatus, ThreadStatus
from robyn_server.graphs.execution import Stop, StopReason, execute
from robyn_server.metrics.definitions import (
    RUN_SECONDS,
    RUN_WAIT,
    RUNS_FINISHED,
    RUNS_REPEATED,
    SLOTS,
    SLOTS_BUSY,
)
from robyn_server.storage.runs import Held, RunQueue

from .background import Periodic
from .channels import RUNS, Listener, Notifier
from .event_writer import EventWriter, RunWriter

if TYPE_CHECKING:
    from robyn_server.graphs.checkpoints import Checkpoints
    from robyn_server.graphs.loading import Graphs

_POLL_SECONDS = 1.0
_SWEEP_SECONDS = 15.0
_LONGEST_BACKOFF = 5.0
_SETTLE_SECONDS = 3.0
_FAILED = RunEnd(
    RunStatus.ERROR,
    ThreadStatus.ERROR,
    None,
    error={"error": "InternalError", "message": "The server failed; its log says why."},
)
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    run: ClaimedRun
    stop: Stop = field(default_factory=Stop)
    task: asyncio.Task[None] | None = None

    @property
    def key(self) -> Held:
        return self.run.run_id, self.run.attempt

    def cancel(self, reason: StopReason | None) -> None:
        """With a reason the run ends so; without one it is dropped without a word."""
        if self.stop.reason is None and self.task is not None:
            self.stop.reason = reason
            self.task.cancel()

    def drop(self) -> None:
        """It is not ours any more, however it was to end."""
        self.stop.reason = None
        self.cancel(None)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    slots: int
    lease: timedelta
    run_timeout: float
    event_ttl: timedelta
    drain: float


class Worker:
    """`worker_id`: that of a predecessor, if there was one; no two live workers have the same."""

    def __init__(
        self,
        queue: RunQueue,
        graphs: Graphs,
        checkpoints: Checkpoints,
        dsn: str,
        options: WorkerOptions,
        worker_id: UUID | None = None,
    ) -> None:
        self.id = worker_id or new_id()
        self._has_predecessor = worker_id is not None
        self._queue = queue
        self._graphs = graphs
        self._checkpoints = checkpoints
        self._options = options
        self._held: dict[UUID, _Held] = {}
        self._lapse: asyncio.TimerHandle | None = None
        self._draining = False
        self._notifier = Notifier(dsn, "agenthall worker")
        self._writer = EventWriter(queue, self._notifier, self.id, self._lose)
        third = options.lease.total_seconds() / 3
        self._claims = Periodic("claims", self._claim, _POLL_SECONDS, longest=_LONGEST_BACKOFF)
        self._leases = Periodic("leases", self._renew, third, retry=third / 10, longest=third / 2)
        self._rescues = Periodic("rescues", self._rescue, third, longest=max(third, _LONGEST_BACKOFF))
        self._sweeps = Periodic("event sweep", self._sweep, _SWEEP_SECONDS)
        self._listener = Listener(dsn, "agenthall worker", {RUNS: self._told}, self._claims.wake)

    @property
    def _services(self) -> tuple[Periodic, ...]:
        return (self._claims, self._leases, self._rescues, self._sweeps)

    def start(self) -> None:
        SLOTS.follow(lambda: self._options.slots)
        SLOTS_BUSY.follow(lambda: len(self._held))
        self._writer.start()
        self._notifier.start()
        self._listener.start()
        for service in self._services:
            service.start()

    async def stop(self) -> None:
        """Drains: see rule 2."""
        self._draining = True
        await self._claims.stop()
        await self._let_finish()
        await self._give_back()
        stops = [each.stop for each in self._services[1:]]
        for stop in (*stops, self._listener.stop, self._writer.stop, self._notifier.stop):
            await stop()
        if self._lapse is not None:
            self._lapse.cancel()

    async def _let_finish(self) -> None:
        tasks = [held.task for held in self._held.values() if held.task is not None]
        if tasks:
            _log.info("waiting for runs to finish", runs=len(tasks), seconds=self._options.drain)
            await asyncio.wait(tasks, timeout=self._options.drain)

    async def _give_back(self) -> None:
        """Also runs that are not known of: of a claim whose answer was lost."""
        tasks = [held.task for held in self._held.values() if held.task is not None]
        for held in list(self._held.values()):
            held.cancel(None)
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self._writer.settle(_SETTLE_SECONDS)  # what they said before goes before them
        with contextlib.suppress(Unavailable):  # then their leases lapse
            released, ended = await self._queue.release(self.id, drained=True)
            if released or ended:
                self._notifier.notify(RUNS)
                _log.info("runs given back", released=released, ended=ended)

    def _told(self, payload: str) -> None:
        words = payload.split(",")  # what was told since the last word comes in one
        if "cancel" in words:
            self._leases.wake()
        if words != ["cancel"]:
            self._claims.wake()

    async def _claim(self) -> None:
        free = self._options.slots - len(self._held)
        if free <= 0 or self._draining:
            return
        if self._has_predecessor:
            await self._clear_place()
        for run in await self._queue.claim(self.id, free, self._options.lease, self._graphs.ids):
            self._begin(run)

    async def _clear_place(self) -> None:
        """Rule 4."""
        self._tell_lost(*await self._queue.release(self.id, drained=False))
        self._has_predecessor = False

    def _begin(self, run: ClaimedRun) -> None:
        if (before := self._held.get(run.run_id)) is not None:
            before.drop()  # rule 3
        held = _Held(run)
        _count_claim(run)
        self._held[run.run_id] = held
        held.task = asyncio.create_task(self._execute(held), name=f"run {run.run_id}")
        held.task.add_done_callback(lambda _task: self._done(held))

    def _done(self, held: _Held) -> None:
        if self._held.get(held.run.run_id) is held:
            del self._held[held.run.run_id]
        if not self._draining:
            self._claims.wake()

    async def _execute(self, held: _Held) -> None:
        run, began = held.run, time.monotonic()
        writer = RunWriter(self._writer, run)
        timer = asyncio.get_running_loop().call_later(self._options.run_timeout, held.cancel, StopReason.TIMEOUT)
        try:
            if run.attempt > 1:
                await writer.emit("metadata", b'{"run_id":"%s","attempt":%d}' % (str(run.run_id).encode(), run.attempt))
            checkpoints = self._checkpoints.held(self.id, run.run_id, run.attempt)
            end = await execute(run, self._graphs, checkpoints, writer.emit, held.stop)
            await writer.end(end)
            _count_end(end, began)
        except asyncio.CancelledError:
            _log.info("run dropped", run_id=str(run.run_id), attempt=run.attempt)
        except Exception:  # noqa: BLE001 - what is not the graph's fault is the run's end all the same
            _log.exception("run failed outside of its graph", run_id=str(run.run_id))
            await writer.end(_FAILED)
            _count_end(_FAILED, began)
        finally:
            timer.cancel()

    async def _renew(self) -> None:
        held = {each.key for each in self._held.values()}
        asked_at = time.monotonic()
        ours: dict[Held, str | None] = {}
        if held:
            async with asyncio.timeout(self._options.lease.total_seconds() / 3):  # a connection may be half open
                ours = await self._queue.renew(self.id, [run_id for run_id, _ in held], self._options.lease)
        self._expect_lapse(asked_at)
        self._lose(held - ours.keys())
        for key, action in ours.items():
            if action is not None and (run := self._find(key)) is not None:
                run.cancel(StopReason.INTERRUPT)

    def _expect_lapse(self, renewed_at: float) -> None:
        """All that is held is given up when the leases of `renewed_at` lapse, unless they are renewed before."""
        if self._lapse is not None:
            self._lapse.cancel()
        left = self._options.lease.total_seconds() - (time.monotonic() - renewed_at)
        self._lapse = asyncio.get_running_loop().call_later(left, self._give_up)

    def _give_up(self) -> None:
        self._lose({each.key for each in self._held.values()})

    def _find(self, key: Held) -> _Held | None:
        held = self._held.get(key[0])
        return held if held is not None and held.key == key else None

    def _lose(self, lost: set[Held]) -> None:
        for key in lost:
            if (held := self._find(key)) is not None:
                _log.warning("run is not this worker's any more", run_id=str(key[0]), attempt=key[1])
                held.drop()

    async def _rescue(self) -> None:
        self._tell_lost(*await self._queue.rescue())

    def _tell_lost(self, rescued: int, failed: int) -> None:
        if rescued or failed:
            _log.warning("runs of lost workers", rescued=rescued, failed=failed)
            RUNS_FINISHED.inc(RunStatus.ERROR, by=failed)
            self._claims.wake()
            self._notifier.notify(RUNS)

    async def _sweep(self) -> None:
        await self._queue.sweep_events(self._options.event_ttl)


def _count_claim(run: ClaimedRun) -> None:
    if run.attempt > 1:
        RUNS_REPEATED.inc()
    else:
        RUN_WAIT.observe(run.waited)


def _count_end(end: RunEnd, began: float) -> None:
    RUNS_FINISHED.inc(end.status)
    RUN_SECONDS.observe(time.monotonic() - began)
