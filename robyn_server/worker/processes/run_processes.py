"""Processes that execute one run each, as children of a worker.

Rules
  1. The worker claims the run under the id of the new process, with a lease that is long enough for its start. The
     process takes over what its id holds, executes it as every worker does, and ends.
  2. When the process has ended, the worker releases what its id still holds. For a process that failed, the run loses
     the attempt.
  3. A run that has lost two workers is executed so (`claim_alone`), and with AGENTHALL_WORKER_ISOLATION=run every run
     that takes a slot.
  4. A process ends with its worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun, RunStatus
from robyn_server.metrics.definitions import RUNS_FINISHED
from robyn_server.storage.postgres.notify import RUNS, THREADS, Notifier
from robyn_server.storage.runs.queue import RunQueue

_POLL_SECONDS = 1.0
START_LEASE = timedelta(seconds=90)
"""A process needs a few seconds until it renews the lease itself. A machine may be much slower."""
_KILL_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class Spawned(Protocol):
    """A process that was started."""

    @property
    def returncode(self) -> int | None: ...
    def send_signal(self, number: int) -> None: ...
    async def wait(self) -> int: ...


Spawn = Callable[[UUID, int, bool], Awaitable[Spawned]]
"""Starts the process with this worker id and the number of its place. The last argument: it stays for more runs."""


@dataclass(frozen=True, slots=True)
class RunProcess:
    """`run`: the one that it was started for. `serves_tenant`: it stays, and executes more runs of that tenant."""

    worker_id: UUID
    run: ClaimedRun
    process: Spawned
    serves_tenant: bool = False


class RunProcesses:
    """`most`: processes at a time. `every_run`: not only those that have lost two workers."""

    def __init__(
        self, queue: RunQueue, graphs: Sequence[str], spawn: Spawn, *, most: int, every_run: bool = False
    ) -> None:
        self.every_run = every_run
        self._queue = queue
        self._notifier: Notifier | None = None
        self._graphs = graphs
        self._spawn = spawn
        self._most = most
        self._running: dict[int, RunProcess] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._loop = Periodic("processes of runs", self._fill, _POLL_SECONDS)

    def __len__(self) -> int:
        return len(self._running)

    def start(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._loop.start()

    def wake(self) -> None:
        self._loop.wake()

    async def stop(self, seconds: float) -> None:
        """Let the processes drain for `seconds`, as their worker does, and then kill them."""
        await self._loop.stop()
        for each in self._running.values():
            _signal(each.process, signal.SIGTERM)
        if self._ends:
            await asyncio.wait(self._ends, timeout=seconds + _KILL_SECONDS)
        for each in self._running.values():
            _signal(each.process, signal.SIGKILL)
        if self._ends:
            await asyncio.wait(self._ends, timeout=_KILL_SECONDS)

    async def _fill(self) -> None:
        while sum(not each.serves_tenant for each in self._running.values()) < self._most:
            worker_id = new_id()
            runs = await self._claim(worker_id)
            if not runs:
                return
            await self._begin(worker_id, runs[0])

    async def _claim(self, worker_id: UUID) -> list[ClaimedRun]:
        runs = await self._queue.claim_alone(worker_id, START_LEASE, self._graphs)
        if not runs and self.every_run:
            runs = await self._queue.claim(worker_id, 1, START_LEASE, self._graphs)
        return runs

    async def _begin(self, worker_id: UUID, run: ClaimedRun, *, serves_tenant: bool = False) -> RunProcess:
        """Start a process for a run. Raises OSError, when the run was given back."""
        place = next(number for number in itertools.count() if number not in self._running)
        try:
            process = await self._spawn(worker_id, place, serves_tenant)
        except OSError as error:
            _log.warning("no process for a run", run_id=str(run.run_id), error=str(error))
            await self._queue.release(worker_id, drained=True)
            raise
        begun = self._running[place] = RunProcess(worker_id, run, process, serves_tenant)
        _log.info("run has a process of its own", run_id=str(run.run_id), attempt=run.attempt)
        self._announce(run)
        ending = asyncio.create_task(self._follow(place, begun), name=f"process of run {run.run_id}")
        self._ends.add(ending)
        ending.add_done_callback(self._ends.discard)
        return begun

    def _announce(self, run: ClaimedRun) -> None:
        if self._notifier is not None and run.keep_thread:
            self._notifier.notify(THREADS, {str(run.thread_id)})

    async def _follow(self, place: int, running: RunProcess) -> None:
        """Wait until the process ends, and release what it leaves (rule 2)."""
        code = await running.process.wait()
        del self._running[place]
        with contextlib.suppress(Unavailable):  # then its lease lapses
            released, ended = await self._queue.release(running.worker_id, drained=code == 0)
            if released or ended:
                _log.warning("the process of a run ended before it", run_id=str(running.run.run_id), code=code)
                self._report_lost(ended)
        self.wake()

    def _report_lost(self, ended: int) -> None:
        RUNS_FINISHED.inc(RunStatus.ERROR, by=ended)
        if self._notifier is not None:
            self._notifier.notify(RUNS)


def _signal(process: Spawned, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.send_signal(number)


def process_environment(
    environment: Mapping[str, str], worker_id: UUID, place: int, *, stays: bool, parent: int
) -> dict[str, str]:
    """The environment of a worker that executes what `worker_id` holds, and ends.

    `place`: the metrics of processes with one number are in one file. `stays`: until it had nothing to do for a while.
    `parent`: the process with which it ends.
    """
    own = environment.get("AGENTHALL_PROCESS", "worker")
    child = {name: value for name, value in environment.items() if name not in _OWN}
    child |= {"AGENTHALL_KEEPER_ID": str(worker_id), "AGENTHALL_WORKER_PARENT": str(parent)}
    child["AGENTHALL_WORKER_ISOLATION"] = "tenant" if stays else "run"
    child["AGENTHALL_PROCESS"] = f"{own}-run-{place + 1}"
    return child


_OWN = frozenset({"AGENTHALL_METRICS_PORT", "AGENTHALL_READY_FD"})
"""Variables of this process alone."""
