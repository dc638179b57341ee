"""A worker claims runs, executes them, renews their leases, and rescues the runs of dead workers.

Rules
  1. Leases are on the database's clock. A worker that could not renew a lease for its whole duration stops the run
     itself: another worker may have it by then. A run whose lease is lost is stopped at once. Until the worker notices,
     the database refuses its
     writes: events and ends (flush_runs) and checkpoints (assert_lease).
  2. A stop drains: no more claims. Runs may finish within the grace period; the rest are released and go on elsewhere.
  3. A lease is for one attempt of a run: after a pause, a worker may claim its own run again.
  4. A worker that replaces a dead one has its id, and releases the runs of its predecessor before it claims any.
  5. Leases are renewed in a thread, since a graph may hold the event loop. A step that holds it for `stall` seconds
     ends the process: nothing can interrupt it. Its run loses the attempt, all others are released as in a drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.concurrency.thread_loop import ThreadLoop
from robyn_server.core.errors import Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun, RunStatus
from robyn_server.graphs.execution import StopReason
from robyn_server.metrics.definitions import (
    INSTANCE_RUNS,
    INSTANCE_RUNS_LIMIT,
    RUN_WAIT,
    RUNS_FINISHED,
    RUNS_REPEATED,
    SLOTS,
    SLOTS_BUSY,
)
from robyn_server.run_events.writer import EventWriter
from robyn_server.storage.postgres.notify import RUNS, THREADS, Listener, Notifier
from robyn_server.storage.runs.queue import RunLease, RunQueue

from .active_runs import ActiveRun, ActiveRuns, Capacity
from .lease_renewer import LeaseRenewer, OpenQueue
from .loop_watch import INTERVAL, LoopWatch
from .run_executor import RunEnvironment, RunExecutor
from .run_tasks import create_run_task, task_factory

if TYPE_CHECKING:
    from robyn_server.redis_streams.connection import RedisConnection
    from robyn_server.run_events.redis_sink import RedisEventWriter
    from robyn_server.worker.processes.run_processes import RunProcesses

_POLL_SECONDS = 1.0
_SWEEP_SECONDS = 15.0
_LONGEST_BACKOFF = 5.0
_SETTLE_SECONDS = 3.0
_LAST_RELEASE_SECONDS = 5.0
EXIT_STALLED = 70
"""Exit code of a process whose event loop stalled: EX_SOFTWARE of sysexits.h."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    capacity: Capacity
    lease: timedelta
    run_timeout: float
    stall: float
    event_ttl: timedelta
    drain: float
    adopts: bool = False
    """It executes the runs that its parent has claimed for it, and no other (run_processes.py)."""
    idle: float = 0.0
    """Seconds without a run, after which a worker that adopts ends. 0: it adopts once."""


class Worker:
    """`worker_id`: that of the predecessor, if there was one. Two live workers must not share an id.

    `open_lease_queue`: opens the queue on the loop of the thread that renews leases. `redis`: for the events of runs
    that are there.
    """

    def __init__(
        self,
        queue: RunQueue,
        environment: RunEnvironment,
        dsn: str,
        options: WorkerOptions,
        open_lease_queue: OpenQueue,
        worker_id: UUID | None = None,
        redis: RedisConnection | None = None,
        processes: RunProcesses | None = None,
    ) -> None:
        self.id = worker_id or new_id()
        self._has_predecessor = worker_id is not None and not options.adopts
        self._adopted: set[RunLease] | None = None
        self._idle_since = time.monotonic()
        self.on_finished: Callable[[], object] = lambda: None
        """Called when this worker adopts runs, and has no more to do."""
        self._queue = queue
        self._graphs = environment.graphs
        self._processes = processes
        self._options = options
        self._active = ActiveRuns()
        self._lapse: asyncio.TimerHandle | None = None
        self._draining = False
        self._is_claiming = False
        self._notifier = Notifier(dsn, "agenthall worker")
        self._redis = redis
        self._writer = self._event_writer()
        self._executor = RunExecutor(environment, self._writer, self.id, options.run_timeout)
        third = options.lease.total_seconds() / 3
        self._claims = Periodic("claims", self._claim, _POLL_SECONDS, longest=_LONGEST_BACKOFF)
        self._thread = ThreadLoop("agenthall leases")
        self._leases = LeaseRenewer(
            self._thread, open_lease_queue, self.id, options.lease, self._held_leases, self._on_renewed
        )
        self._watch: Periodic | None = None
        self._rescues = Periodic("rescues", self._rescue, third, longest=max(third, _LONGEST_BACKOFF))
        self._sweeps = Periodic("event sweep", self._sweep, _SWEEP_SECONDS)
        self._listener = Listener(dsn, "agenthall worker", {RUNS: self._on_notify}, self._claims.wake)

    @property
    def _services(self) -> tuple[Periodic, ...]:
        return (self._claims, self._rescues, self._sweeps)

    def _event_writer(self) -> EventWriter | RedisEventWriter:
        postgres = EventWriter(self._queue, self._notifier, self.id, self._release_lost)
        if self._redis is None:
            return postgres
        from robyn_server.run_events.redis_sink import RedisEventWriter

        return RedisEventWriter(postgres, self._redis, self._has_leases, self._release_lost)

    def start(self) -> None:
        SLOTS.set_function(lambda: self._options.capacity.slots)
        SLOTS_BUSY.set_function(lambda: self._active.used.slots)
        INSTANCE_RUNS_LIMIT.set_function(lambda: self._options.capacity.instance_runs)
        INSTANCE_RUNS.set_function(lambda: self._active.used.instance_runs)
        asyncio.get_running_loop().set_task_factory(task_factory)
        self._watch = Periodic("loop watch", LoopWatch(self._options.stall, self._on_stalled).check, INTERVAL)
        self._thread.start()
        self._leases.start()
        self._schedule_lapse(self._leases.renewed_at)
        self._thread.call(self._watch.start)
        self._writer.start()
        self._notifier.start()
        self._listener.start()
        for service in self._services:
            service.start()
        if self._processes is not None:
            self._processes.start(self._notifier)

    async def stop(self) -> None:
        """Drain and stop (rule 2)."""
        self._draining = True
        await self._claims.stop()
        await asyncio.gather(self._let_finish(), self._stop_processes())
        await self._release_all()
        stops = [each.stop for each in self._services[1:]]
        for stop in (self._stop_thread, *stops, self._listener.stop, self._writer.stop, self._notifier.stop):
            await stop()
        if self._lapse is not None:
            self._lapse.cancel()

    async def _stop_thread(self) -> None:
        if self._watch is None or not self._thread.is_running:
            return
        await self._thread.run(self._watch.stop())
        await self._leases.stop()
        await self._thread.stop()

    async def _let_finish(self) -> None:
        if tasks := self._active.tasks:
            _log.info("waiting for runs to finish", runs=len(tasks), seconds=self._options.drain)
            await asyncio.wait(tasks, timeout=self._options.drain)

    async def _stop_processes(self) -> None:
        if self._processes is not None:
            await self._processes.stop(self._options.drain)

    async def _release_all(self) -> None:
        """Release all runs of this worker, also those of a claim whose answer was lost."""
        tasks = self._active.tasks
        for active in self._active:
            active.cancel(None)
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self._writer.settle(_SETTLE_SECONDS)  # their events are written first
        with contextlib.suppress(Unavailable):  # then their leases lapse
            released, ended = await self._queue.release(self.id, drained=True)
            if released or ended:
                self._notifier.notify(RUNS)
                _log.info("runs released", released=released, ended=ended)

    def _on_notify(self, payload: str) -> None:
        words = payload.split(",")  # one notification carries several payloads
        if "cancel" in words:
            self._leases.wake()
        if words != ["cancel"]:
            self._claims.wake()

    async def _claim(self) -> None:
        if self._options.adopts:
            return await self._adopt()
        if self._processes is not None and self._processes.every_run:
            self._processes.wake()
        free = self._active.free(self._options.capacity)
        if not any(free) or self._draining:
            return None
        if self._has_predecessor:
            await self._release_predecessor_runs()
        self._is_claiming = True
        try:
            runs = await self._queue.claim(
                self.id, free.slots, self._options.lease, self._graphs.all_ids, instance_runs=free.instance_runs
            )
            for run in runs:
                self._start_run(run)
            self._notifier.notify(THREADS, {str(run.thread_id) for run in runs if run.keep_thread})
        finally:
            self._is_claiming = False

    async def _adopt(self) -> None:
        """Begin the runs that were claimed for this worker, each once; when there are none any more, say so."""
        if not self._draining and (self._adopted is None or self._options.idle):
            runs = await self._queue.list_claimed(self.id)
            new = [run for run in runs if (run.run_id, run.attempt) not in (self._adopted or ())]
            self._adopted = {(run.run_id, run.attempt) for run in runs}
            for run in new:
                self._start_run(run)
        if self._active:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since >= self._options.idle:
            self.on_finished()

    async def _release_predecessor_runs(self) -> None:
        """Rule 4."""
        self._report_rescued(*await self._queue.release(self.id, drained=False))
        self._has_predecessor = False

    def _start_run(self, run: ClaimedRun) -> None:
        if (before := self._active.of_run(run.run_id)) is not None:
            before.abandon()  # rule 3
            self._active.discard(before)
        active = ActiveRun(run)
        _count_claim(run)
        self._active.add(active)
        active.task = create_run_task(run, self._executor.execute(active))
        active.task.add_done_callback(lambda _task: self._on_done(active))

    def _on_done(self, active: ActiveRun) -> None:
        self._active.discard(active)
        if not self._draining:
            self._claims.wake()
        if self._options.idle:
            self._notifier.notify(RUNS)  # its parent has room for another run

    def _held_leases(self) -> set[RunLease] | None:
        """The leases to renew. Called from the thread.

        While a claim waits for its answer, and the loop may be blocked, only the database knows all of them.
        """
        return None if self._is_claiming else self._active.leases

    def _on_renewed(self, asked_at: float, leases: set[RunLease], ours: dict[RunLease, str | None]) -> None:
        self._schedule_lapse(asked_at)
        self._release_lost(leases - ours.keys() - self._active.ending)
        for key, action in ours.items():
            if action is not None and (run := self._active.find(key)) is not None:
                run.cancel(StopReason(action))

    def _schedule_lapse(self, renewed_at: float) -> None:
        """Abandon all runs when the leases renewed at `renewed_at` lapse, unless they are renewed before."""
        if self._lapse is not None:
            self._lapse.cancel()
        left = self._options.lease.total_seconds() - (time.monotonic() - renewed_at)
        self._lapse = asyncio.get_running_loop().call_later(left, self._abandon_all)

    def _has_leases(self) -> bool:
        """Whether the leases were renewed in time, so that no other worker has any of them."""
        return time.monotonic() < self._leases.renewed_at + self._options.lease.total_seconds()

    def _abandon_all(self) -> None:
        if self._has_leases():
            return self._schedule_lapse(self._leases.renewed_at)  # the loop was blocked when they were renewed
        return self._release_lost(self._active.leases - self._active.ending)

    def _release_lost(self, lost: set[RunLease]) -> None:
        for key in lost:
            if (active := self._active.find(key)) is not None:
                _log.warning("the lease of a run was lost", run_id=str(key[0]), attempt=key[1])
                active.abandon()

    async def _on_stalled(self, run: ClaimedRun | None) -> None:
        """Rule 5. Called on the thread's loop."""
        charged = [] if run is None else [run.run_id]
        with contextlib.suppress(Unavailable, TimeoutError):  # then all leases lapse
            async with asyncio.timeout(_LAST_RELEASE_SECONDS):
                await self._leases.release_stalled(charged, self._stalled_error())
        _log.error("the event loop stalled; the process ends", seconds=self._options.stall, run_id=_id_of(charged))
        _end_process()

    def _stalled_error(self) -> dict[str, str]:
        text = f"The run held the event loop of its worker for {self._options.stall:g} s (AGENTHALL_LOOP_STALL)."
        return {"error": "LoopBlocked", "message": text}

    async def _rescue(self) -> None:
        self._report_rescued(*await self._queue.rescue())

    def _report_rescued(self, rescued: int, failed: int) -> None:
        if rescued or failed:
            _log.warning("runs of lost workers", rescued=rescued, failed=failed)
            RUNS_FINISHED.inc(RunStatus.ERROR, by=failed)
            self._claims.wake()
            self._notifier.notify(RUNS)

    async def _sweep(self) -> None:
        swept = await self._queue.sweep_events(self._options.event_ttl)
        if self._redis is not None and swept:
            await self._redis.delete_swept(list(swept))


def _count_claim(run: ClaimedRun) -> None:
    if run.attempt > 1:
        RUNS_REPEATED.inc()
    else:
        RUN_WAIT.observe(run.waited)


def _id_of(runs: Sequence[UUID]) -> str | None:
    return str(runs[0]) if runs else None


def _end_process() -> NoReturn:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(EXIT_STALLED)
