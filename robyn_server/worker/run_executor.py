"""One attempt of a run: its graph is executed, and its events, its end and its metrics are written."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from robyn_server.core.access.users import store_owner
from robyn_server.core.errors import Unavailable
from robyn_server.core.runs import ClaimedRun, RunEnd, RunStatus, ThreadStatus
from robyn_server.graphs.execution import StopReason, execute
from robyn_server.metrics.definitions import RUN_SECONDS, RUNS_FINISHED
from robyn_server.run_events.run_writer import RunWriter
from robyn_server.run_events.writer import EventWriter
from robyn_server.worker.hosts.stores import RunStores

from .active_runs import ActiveRun
from .run_traces import AttemptTrace, RunTraces

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

    from robyn_server.graphs.checkpoints.saver import Checkpoints
    from robyn_server.graphs.loading.served_graphs import Graphs
    from robyn_server.registry.jobs.starter import JobStarter
    from robyn_server.run_events.redis_sink import RedisEventWriter
    from robyn_server.worker.hosts.agents import RunAgentHost
    from robyn_server.worker.hosts.credentials import RunCredentialHost

_FAILED = RunEnd(
    RunStatus.ERROR,
    ThreadStatus.ERROR,
    None,
    error={"error": "InternalError", "message": "The server failed; its log says why."},
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnvironment:
    """Parts that the graphs of runs use: their code, their state, the store, other agents, credentials."""

    graphs: Graphs
    checkpoints: Checkpoints
    stores: RunStores
    traces: RunTraces = field(default_factory=RunTraces)
    agents: RunAgentHost | None = None
    jobs: JobStarter | None = None
    credentials: RunCredentialHost | None = None


class RunExecutor:
    """Executes attempts of the worker `worker_id`, each for at most `timeout` seconds."""

    def __init__(
        self,
        environment: RunEnvironment,
        writer: EventWriter | RedisEventWriter,
        worker_id: UUID,
        timeout: float,
    ) -> None:
        self._environment = environment
        self._writer = writer
        self._worker_id = worker_id
        self._timeout = timeout

    async def execute(self, active: ActiveRun) -> None:
        """Execute one attempt to its end. Never raises: whatever fails ends the run."""
        with self._environment.traces.attempt(active.run) as trace:
            await self._attempt(active, trace)

    async def _attempt(self, active: ActiveRun, trace: AttemptTrace) -> None:
        run, began = active.run, time.monotonic()
        writer = RunWriter(self._writer, run)
        store = self._environment.stores.open(store_owner(run.auth, run.owner_id))
        timer = asyncio.get_running_loop().call_later(self._timeout, active.cancel, StopReason.TIMEOUT)
        try:
            await writer.begin()
            if run.attempt > 1:
                await writer.emit("metadata", b'{"run_id":"%s","attempt":%d}' % (str(run.run_id).encode(), run.attempt))
            checkpoints = self._environment.checkpoints.with_lease(self._worker_id, run.run_id, run.attempt)
            with self._hosts(run, store):
                end = await execute(
                    run, self._environment.graphs, checkpoints, store, writer.emit, active.stop, trace.callbacks
                )
            await _end(active, writer, trace, end, began)
        except asyncio.CancelledError:
            _log.info("run dropped", run_id=str(run.run_id), attempt=run.attempt)
        except Exception:  # noqa: BLE001 - a fault of the server ends the run, too
            _log.exception("run failed outside of its graph", run_id=str(run.run_id))
            await _end(active, writer, trace, _FAILED, began)
        else:
            await self._cancel_jobs(active)  # after the end, which the client of a cancellation waits for
        finally:
            timer.cancel()
            store.close()
            writer.close()

    @contextlib.contextmanager
    def _hosts(self, run: ClaimedRun, store: BaseStore) -> Iterator[None]:
        """Within the block the agents of the run find other agents, and credentials."""
        with contextlib.ExitStack() as stack:
            if self._environment.agents is not None:
                stack.enter_context(self._environment.agents.of(run, store))
            if self._environment.credentials is not None:
                stack.enter_context(self._environment.credentials.of(run))
            yield

    async def _cancel_jobs(self, active: ActiveRun) -> None:
        """Cancel the jobs of a run that was stopped on purpose. Jobs of a run that is dropped go on without it."""
        if self._environment.jobs is None or active.stop.reason is None:
            return
        with contextlib.suppress(Unavailable):  # the sweeper cancels jobs whose run is over
            await self._environment.jobs.cancel_of_run(active.run.run_id, f"the run was stopped ({active.stop.reason})")


async def _end(active: ActiveRun, writer: RunWriter, trace: AttemptTrace, end: RunEnd, began: float) -> None:
    active.is_ending = True
    trace.end(end)
    await writer.end(end)
    seconds = time.monotonic() - began
    _count_end(end, seconds)
    _log_end(active.run, end, seconds)


def _count_end(end: RunEnd, seconds: float) -> None:
    RUNS_FINISHED.inc(end.status)
    RUN_SECONDS.observe(seconds)


def _log_end(run: ClaimedRun, end: RunEnd, seconds: float) -> None:
    """Log one line per run: a warning when it failed."""
    fields: dict[str, Any] = {"status": str(end.status), "seconds": round(seconds, 3)}
    if end.tool_calls:
        fields["tools"] = end.tool_calls
    if end.error is not None:
        fields["error"] = f"{end.error['error']}: {end.error['message']}"
    if end.traceback is not None:
        fields["exception"] = end.traceback
    log = _log.warning if end.status in {RunStatus.ERROR, RunStatus.TIMEOUT} else _log.info
    log("run", agent=run.assistant_name, **fields, thread_id=str(run.thread_id), run_id=str(run.run_id))
