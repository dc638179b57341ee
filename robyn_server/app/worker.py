"""The worker process put together: settings → storage → graphs → worker."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
import uvloop

from robyn_server import logs
from robyn_server.core.errors import Misconfigured
from robyn_server.graphs.loading import Graphs
from robyn_server.metrics import announce, answer_scrapes
from robyn_server.settings import Settings
from robyn_server.storage.runs import RunQueue

from .agent_sync import check_settings
from .database import prepare_database
from .pools import Pools, follow_pools
from .process import measuring, run_until_signal, start_parts

if TYPE_CHECKING:
    from robyn_server.runtime.worker import WorkerOptions

_log = structlog.get_logger(__name__)


def run_worker(settings: Settings) -> None:
    """The body of `agenthall worker`. Returns after a signal, drained."""
    logs.configure(settings)
    check_settings(settings)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    async with AsyncExitStack() as closing:
        await run_until_signal("worker", _start(settings, closing))


async def _start(settings: Settings, closing: AsyncExitStack) -> None:
    announce("worker")
    _answer_scrapes(settings)
    await prepare_database(settings)
    system = await Pools(settings, closing).system("agenthall worker")
    # Here: LangGraph takes a second to import, and what is wrong with the database is said before.
    from robyn_server.graphs.checkpoints import Checkpoints
    from robyn_server.runtime.worker import Worker

    checkpoints = Checkpoints(settings.direct_dsn, size=settings.pool_size)
    await checkpoints.start()
    closing.push_async_callback(checkpoints.stop)
    _limit_tool_servers(settings)
    graphs = Graphs(settings.graphs, settings.default_model)
    closing.push_async_callback(graphs.close)
    options = _options(settings)
    worker = Worker(RunQueue(system), graphs, checkpoints, settings.direct_dsn, options, settings.keeper_id)
    follow_pools(system=system)
    start_parts(closing, worker, measuring())
    preloading = asyncio.create_task(graphs.preload(), name="preload graphs")
    closing.callback(preloading.cancel)
    _log.info("worker takes runs", worker_id=str(worker.id), slots=options.slots, graphs=graphs.ids)


def _options(settings: Settings) -> WorkerOptions:
    from robyn_server.runtime.worker import WorkerOptions

    return WorkerOptions(
        slots=settings.worker_slots,
        lease=timedelta(seconds=settings.run_lease_seconds),
        run_timeout=settings.run_timeout_seconds,
        event_ttl=timedelta(seconds=settings.event_ttl_seconds),
        drain=settings.drain_seconds,
    )


def _answer_scrapes(settings: Settings) -> None:
    """Raises Misconfigured."""
    if settings.metrics_port is None:
        return
    try:
        answer_scrapes(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        where = f"{settings.metrics_host} port {settings.metrics_port}"
        raise Misconfigured(f"cannot listen on {where}: {error}", field="AGENTHALL_METRICS_PORT") from None


def _limit_tool_servers(settings: Settings) -> None:
    from tools_agent.limits import Limits, set_limits

    set_limits(
        Limits(
            connect=settings.mcp_connect_seconds,
            read=settings.mcp_read_seconds,
            idle=settings.mcp_idle_seconds,
        )
    )
