"""A worker: claims runs, executes them, keeps their leases, and rescues the runs of workers that are gone.

Rules
  1. A lease is on the database's clock. A worker that could not renew for as long as a lease lasts stops its runs itself: by
     then another may have them. A run that turns out to be somebody else's is stopped at once and writes nothing.
  2. A stop drains: no more claims; runs may finish within the grace; the rest are given back and go on elsewhere.
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
from robyn_server.core.runs import ClaimedRun
from robyn_server.graphs.execution import Stop, StopReason, execute
from robyn_server.storage.runs import RunQueue

from .background import Periodic
from .channels import RUNS, Listener, Notifier
from .event_writer import EventWriter, RunWriter

if TYPE_CHECKING:
    from robyn_server.graphs.checkpoints import Checkpoints
    from robyn_server.graphs.loading import Graphs

_POLL_SECONDS = 1.0
_SWEEP_SECONDS = 15.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    run: ClaimedRun
    stop: Stop = field(default_factory=Stop)
    task: asyncio.Task[None] | None = None

    def cancel(self, reason: StopReason | None) -> None:
        """With a reason the run ends so; without one it is dropped without a word."""
        if self.stop.reason is None and self.task is not None:
            self.stop.reason = reason
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    slots: int
    lease: timedelta
    run_timeout: float
    event_ttl: timedelta
    drain: float


class Worker:
    def __init__(
        self, queue: RunQueue, graphs: Graphs, checkpoints: Checkpoints, dsn: str, options: WorkerOptions
    ) -> None:
        self.id = new_id()
        self._queue = queue
        self._graphs = graphs
        self._checkpoints = checkpoints
        self._options = options
        self._held: dict[UUID, _Held] = {}
        self._renewed = time.monotonic()
        self._draining = False
        self._notifier = Notifier(dsn, "agenthall worker")
        self._writer = EventWriter(queue, self._notifier, self.id, self._lose)
        third = options.lease.total_seconds() / 3
        self._claims = Periodic("claims", self._claim, _POLL_SECONDS)
        self._leases = Periodic("leases", self._renew, third)
        self._rescues = Periodic("rescues", self._rescue, third)
        self._sweeps = Periodic("event sweep", self._sweep, _SWEEP_SECONDS)
        self._listener = Listener(dsn, "agenthall worker", {RUNS: self._told}, self._claims.wake)

    @property
    def _services(self) -> tuple[Periodic, ...]:
        return (self._claims, self._leases, self._rescues, self._sweeps)

    def start(self) -> None:
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

    async def _let_finish(self) -> None:
        tasks = [held.task for held in self._held.values() if held.task is not None]
        if tasks:
            _log.info("waiting for runs to finish", runs=len(tasks), seconds=self._options.drain)
            await asyncio.wait(tasks, timeout=self._options.drain)

    async def _give_back(self) -> None:
        left = list(self._held.values())
        for held in left:
            held.cancel(None)
        if left:
            await asyncio.wait([held.task for held in left if held.task is not None], timeout=5)
            with contextlib.suppress(Unavailable):  # then their leases lapse
                await self._queue.release(self.id, [held.run.run_id for held in left])
            self._notifier.notify(RUNS)
            _log.info("runs given back", runs=len(left))

    def _told(self, payload: str) -> None:
        (self._leases if payload == "cancel" else self._claims).wake()

    async def _claim(self) -> None:
        free = self._options.slots - len(self._held)
        if free <= 0 or self._draining:
            return
        for run in await self._queue.claim(self.id, free, self._options.lease, self._graphs.ids):
            self._begin(run)

    def _begin(self, run: ClaimedRun) -> None:
        held = _Held(run)
        self._held[run.run_id] = held
        held.task = asyncio.create_task(self._execute(held), name=f"run {run.run_id}")
        held.task.add_done_callback(lambda _task: self._done(run.run_id))

    def _done(self, run_id: UUID) -> None:
        self._held.pop(run_id, None)
        if not self._draining:
            self._claims.wake()

    async def _execute(self, held: _Held) -> None:
        run = held.run
        writer = RunWriter(self._writer, run)
        timer = asyncio.get_running_loop().call_later(self._options.run_timeout, held.cancel, StopReason.TIMEOUT)
        try:
            if run.attempt > 1:
                await writer.emit("metadata", b'{"run_id":"%s","attempt":%d}' % (str(run.run_id).encode(), run.attempt))
            end = await execute(run, self._graphs, self._checkpoints, writer.emit, held.stop)
            await writer.end(end)
        except asyncio.CancelledError:
            _log.info("run dropped", run_id=str(run.run_id), attempt=run.attempt)
        finally:
            timer.cancel()

    async def _renew(self) -> None:
        held = dict(self._held)
        if not held:
            self._renewed = time.monotonic()
            return
        try:
            ours = await self._queue.renew(self.id, list(held), self._options.lease)
        except Unavailable:
            self._give_up_lapsed()
            raise
        self._renewed = time.monotonic()
        self._lose(held.keys() - ours.keys())
        for run_id, action in ours.items():
            if action is not None and run_id in self._held:
                self._held[run_id].cancel(StopReason.INTERRUPT)

    def _give_up_lapsed(self) -> None:
        if time.monotonic() - self._renewed > self._options.lease.total_seconds():
            self._lose(set(self._held))

    def _lose(self, run_ids: set[UUID]) -> None:
        for run_id in run_ids:
            if run_id in self._held:
                _log.warning("run belongs to another worker now", run_id=str(run_id))
                self._held[run_id].cancel(None)

    async def _rescue(self) -> None:
        rescued, failed = await self._queue.rescue()
        if rescued or failed:
            _log.warning("runs of lost workers", rescued=rescued, failed=failed)
            self._claims.wake()
            self._notifier.notify(RUNS)

    async def _sweep(self) -> None:
        await self._queue.sweep_events(self._options.event_ttl)
