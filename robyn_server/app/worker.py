"""Composition root of the worker process: settings → storage → graphs → worker."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog
import uvloop

from robyn_server import logs
from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import Misconfigured
from robyn_server.graphs.embeddings import ItemEmbedder
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.metrics import announce, answer_scrapes
from robyn_server.registry.instances.health_checks import HealthChecker
from robyn_server.registry.jobs.follower import JobFollower
from robyn_server.registry.jobs.starter import JobStarter
from robyn_server.registry.jobs.sweeper import JobSweeper
from robyn_server.settings import AuthMode, Settings
from robyn_server.settings.processes.worker import WorkerIsolation
from robyn_server.storage.assistants import Assistants
from robyn_server.storage.audit_log import AuditLog
from robyn_server.storage.operations.metrics_history import KEPT_EVENTS, MetricsHistory
from robyn_server.storage.postgres.notify import Listener, Notifier
from robyn_server.storage.postgres.pools import Pool, Role, open_pool
from robyn_server.storage.registry.instances.health_checks import HealthChecks
from robyn_server.storage.registry.jobs.assigned import AssignedJobs
from robyn_server.storage.registry.jobs.jobs import JOBS, Jobs
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.store.items import StoreItems
from robyn_server.storage.thread_retention import ThreadRetention
from robyn_server.storage.thread_words import ThreadWords
from robyn_server.storage.workers import Workers
from robyn_server.supervisor.parent_death import end_with_parent
from robyn_server.tracing.langsmith.runs import flush_run_trees

from .parts.agent_sync import check_settings
from .parts.credentials import open_credential_host, read_keys
from .parts.database import prepare_database
from .parts.egress import enforce_egress, limit_tool_servers
from .parts.pools import Pools, close_pool, export_pool_metrics
from .parts.redis import open_redis
from .parts.tracing import start_tracing
from .process import (
    end_within,
    exempt_from_collection,
    metrics_refresh,
    run_until_signal,
    start_services,
    tune_garbage_collection,
)

if TYPE_CHECKING:
    from robyn_server.worker.hosts.agents import RunAgentHost
    from robyn_server.worker.processes.run_processes import RunProcesses
    from robyn_server.worker.run_traces import RunTraces
    from robyn_server.worker.worker import WorkerOptions

_STORE_SWEEP_SECONDS = 60.0
_WORDS_SECONDS = 3.0
"""A search finds the words of a thread within this time and that of reading them."""
_AUDIT_SWEEP_SECONDS = 3600.0
_HISTORY_SECONDS = 10.0
"""A minute that is over is recorded within this time. Only the first worker that looks reads more than a row for it."""
_EXIT_SECONDS = 1.0
_IDLE_SECONDS = 10.0
"""Time that the process of a tenant waits for another run of it."""
_ALONE = 2
"""Runs at a time that a worker executes in processes of their own because they have lost two workers."""
_log = structlog.get_logger(__name__)


def run_worker(settings: Settings) -> None:
    """Run `agenthall worker` until a signal, and drain."""
    if settings.worker_parent is not None:
        end_with_parent(settings.worker_parent)
    logs.configure(settings)
    check_settings(settings)
    uvloop.run(_serve(settings))
    end_within(_EXIT_SECONDS)


async def _serve(settings: Settings) -> None:
    async with AsyncExitStack() as closing:
        await run_until_signal("worker", _start(settings, closing))


async def _start(settings: Settings, closing: AsyncExitStack) -> None:
    announce("worker")
    traces = _start_traces(closing)
    _start_metrics_server(settings)
    await prepare_database(settings)
    await read_keys(settings)
    system = await Pools(settings, closing).system("agenthall worker")
    # Imported here: LangGraph takes a second to import, and errors of the database are reported before.
    from robyn_server.graphs.checkpoints.saver import Checkpoints
    from robyn_server.worker.announcement import Announcement
    from robyn_server.worker.hosts.stores import RunStores
    from robyn_server.worker.run_executor import RunEnvironment
    from robyn_server.worker.worker import Worker

    tune_garbage_collection()
    checkpoints = Checkpoints(settings.direct_dsn, size=settings.pool_size, max_state_bytes=settings.max_state_bytes)
    await checkpoints.start()
    closing.push_async_callback(checkpoints.stop)
    limit_tool_servers(settings)
    enforce_egress(settings)
    graphs = Graphs(settings.graph_paths, settings.default_model)
    closing.push_async_callback(graphs.close)
    options = _options(settings)
    embedder = None if settings.store_index is None else ItemEmbedder(settings.store_index)
    open_lease_queue = partial(_open_lease_queue, settings.dsn)
    items = StoreItems(system)
    environment = RunEnvironment(
        graphs=graphs,
        checkpoints=checkpoints,
        stores=RunStores(items, checkpoints.max_state_bytes, embedder, settings.store_lifetimes),
        traces=traces,
        agents=await _open_agent_host(settings, closing, graphs),
        jobs=_start_jobs(settings, closing, system),
        credentials=open_credential_host(settings, system),
    )
    worker = Worker(
        RunQueue(system, settings.running_limits),
        environment,
        settings.direct_dsn,
        options,
        open_lease_queue,
        settings.keeper_id,
        await open_redis(settings, closing, "agenthall worker"),
        _run_processes(settings, closing, system, graphs),
    )
    worker.on_finished = _ask_to_end
    export_pool_metrics(system=system)
    announcement = Announcement(Workers(system), worker.id, graphs.all_ids)
    sweep = Periodic("expired items of the store", items.sweep, _STORE_SWEEP_SECONDS)
    start_services(
        closing,
        announcement,
        worker,
        metrics_refresh(),
        sweep,
        *_thread_sweeps(settings, system),
        *_thread_words(settings, system),
        *_audit_sweeps(settings, system),
        *_history(settings, system),
        *_health_checks(settings, system),
    )
    preloading = asyncio.create_task(_preload(graphs), name="preload graphs")
    closing.callback(preloading.cancel)
    if settings.worker_parent is None:
        _log.info("worker claims runs", worker_id=str(worker.id), slots=options.capacity.slots, graphs=graphs.ids)


def _run_processes(settings: Settings, closing: AsyncExitStack, system: Pool, graphs: Graphs) -> RunProcesses | None:
    """None in a process that was itself started for a run."""
    from robyn_server.worker.processes.run_processes import RunProcesses
    from robyn_server.worker.processes.tenant_processes import TenantProcesses

    from .parts.run_process_starter import RunProcessStarter

    if settings.worker_parent is not None:
        return None
    starter = RunProcessStarter(os.environ)
    closing.push_async_callback(starter.stop)
    if settings.worker_isolation is not WorkerIsolation.NONE:
        starter.start()
    queue, slots = RunQueue(system, settings.running_limits), settings.worker_slots
    if settings.worker_isolation is WorkerIsolation.TENANT:
        return TenantProcesses(queue, graphs.all_ids, starter.spawn, slots=slots, alone=_ALONE)
    every_run = settings.worker_isolation is WorkerIsolation.RUN
    return RunProcesses(queue, graphs.all_ids, starter.spawn, most=slots if every_run else _ALONE, every_run=every_run)


def _ask_to_end() -> None:
    """End this process as after a signal."""
    signal.raise_signal(signal.SIGTERM)


async def _preload(graphs: Graphs) -> None:
    await graphs.preload()
    exempt_from_collection()


def _start_traces(closing: AsyncExitStack) -> RunTraces:
    """`closing` sends what is left of the traces, after the last run. Raises Misconfigured."""
    from robyn_server.worker.run_traces import RunTraces

    tracing = start_tracing("worker")
    if tracing is None:
        closing.push_async_callback(flush_run_trees)
        return RunTraces()
    from robyn_server.graphs.instances.runner import set_trace_reader
    from robyn_server.tracing.mcp_calls import mcp_call_context
    from robyn_server.tracing.propagation import current_trace
    from tools_agent.tools.call_context import set_call_context

    tracing.announce()
    set_call_context(mcp_call_context)
    set_trace_reader(current_trace)
    closing.push_async_callback(lambda: asyncio.gather(tracing.stop(), flush_run_trees()))
    return RunTraces(tracing.attempts)


def _start_jobs(settings: Settings, closing: AsyncExitStack, system: Pool) -> JobStarter:
    """Let runs give work to instances, and sweep jobs."""
    from robyn_server.graphs.instances.runner import set_job_runner

    assigned, notifier = AssignedJobs(system), Notifier(settings.direct_dsn, "agenthall worker jobs")
    follower = JobFollower(assigned)
    starter = JobStarter(Jobs(system), assigned, follower, notifier)
    listener = Listener(settings.direct_dsn, "agenthall worker jobs", {JOBS: follower.wake}, follower.wake_all)
    start_services(closing, notifier, follower, listener, JobSweeper(assigned, starter, notifier))
    set_job_runner(starter)
    return starter


async def _open_agent_host(settings: Settings, closing: AsyncExitStack, graphs: Graphs) -> RunAgentHost:
    """Let the agents of runs call other agents as tools."""
    from robyn_server.worker.hosts.agents import RunAgentHost
    from tools_agent.tools.agents import set_agent_host

    assistants = Assistants(await Pools(settings, closing).app("agenthall worker agents"))
    is_open = settings.auth_mode is AuthMode.NONE
    host = RunAgentHost(graphs, assistants, max_depth=settings.agent_depth, is_open=is_open)
    set_agent_host(host)
    return host


@asynccontextmanager
async def _open_lease_queue(dsn: str) -> AsyncIterator[RunQueue]:
    """Open a queue with a connection of its own, on the loop that calls."""
    pool = await open_pool(dsn, Role.SYSTEM, size=1, name="agenthall worker leases")
    try:
        yield RunQueue(pool)
    finally:
        await close_pool(pool)


def _thread_sweeps(settings: Settings, system: Pool) -> Iterator[Periodic]:
    from robyn_server.worker.sweepers.threads import ThreadSweeper

    sweeper = ThreadSweeper(
        ThreadRetention(system),
        limit=settings.thread_sweep_limit,
        max_idle=None if settings.thread_max_idle is None else timedelta(minutes=settings.thread_max_idle),
        keep_checkpoints=settings.keep_checkpoints,
    )
    seconds = 60 * settings.thread_sweep_minutes
    yield Periodic("threads whose time is over", sweeper.sweep, seconds)
    yield Periodic("checkpoints to keep", sweeper.prune, seconds)


def _thread_words(settings: Settings, system: Pool) -> Iterator[Periodic]:
    if settings.worker_parent is None:
        yield Periodic("words of threads", ThreadWords(system).index_changed, _WORDS_SECONDS)


def _audit_sweeps(settings: Settings, system: Pool) -> Iterator[Periodic]:
    from robyn_server.worker.sweepers.audit import AuditSweeper

    if settings.audit_days:
        sweeper = AuditSweeper(AuditLog(system), timedelta(days=settings.audit_days))
        yield Periodic("old audit entries", sweeper.sweep, _AUDIT_SWEEP_SECONDS)


def _history(settings: Settings, system: Pool) -> Iterator[Periodic]:
    if settings.worker_parent is None:
        yield Periodic("history of metrics", MetricsHistory(system).record, _HISTORY_SECONDS)


def _health_checks(settings: Settings, system: Pool) -> Iterator[HealthChecker]:
    if settings.worker_parent is None:
        every = timedelta(seconds=settings.health_check_seconds)
        yield HealthChecker(HealthChecks(system, every), settings.egress_policy)


def _options(settings: Settings) -> WorkerOptions:
    from robyn_server.worker.active_runs import Capacity
    from robyn_server.worker.worker import WorkerOptions

    is_child = settings.worker_parent is not None
    in_processes = settings.worker_isolation is not WorkerIsolation.NONE and not is_child
    stays = is_child and settings.worker_isolation is WorkerIsolation.TENANT
    return WorkerOptions(
        adopts=is_child,
        idle=_IDLE_SECONDS if stays else 0.0,
        capacity=Capacity(0 if in_processes else settings.worker_slots, settings.worker_instance_runs),
        lease=timedelta(seconds=settings.run_lease_seconds),
        run_timeout=settings.run_timeout_seconds,
        stall=settings.loop_stall_seconds,
        event_ttl=max(timedelta(seconds=settings.event_ttl_seconds), KEPT_EVENTS),
        drain=settings.drain_seconds,
    )


def _start_metrics_server(settings: Settings) -> None:
    """Raises Misconfigured."""
    if settings.metrics_port is None:
        return
    try:
        answer_scrapes(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        where = f"{settings.metrics_host} port {settings.metrics_port}"
        raise Misconfigured(f"cannot listen on {where}: {error}", field="AGENTHALL_METRICS_PORT") from None
