"""The composition root: settings → storage → services → web, or worker. The only place that knows all rooms."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import asyncpg
import structlog

from robyn_server.agent_sync import AgentSyncOptions, parse_agent_sync_scope
from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.doctor import check_database
from robyn_server.files import packaged
from robyn_server.graphs.loading import Graphs
from robyn_server.graphs.states import States
from robyn_server.runtime.agent_sync_operations import Operations
from robyn_server.runtime.catalogue import Catalogue
from robyn_server.runtime.channels import EVENTS, RUNS, Listener, Notifier
from robyn_server.runtime.event_feed import EventFeed
from robyn_server.runtime.readiness import announce_ready
from robyn_server.runtime.watched_sync import Progress, watched_sync
from robyn_server.services import Services
from robyn_server.services.agent_sync import AgentSyncService, SyncReport, SyncRequest
from robyn_server.services.assistants import AssistantService
from robyn_server.services.runs import RunService
from robyn_server.services.threads import ThreadService
from robyn_server.settings import Settings
from robyn_server.storage.agent_sync_view import AgentSyncView
from robyn_server.storage.assistants import Assistants
from robyn_server.storage.database import Pool, Role, open_connection, open_pool
from robyn_server.storage.errors import translated
from robyn_server.storage.migrations import Migration, migrate
from robyn_server.storage.runs import RunQueue, Runs
from robyn_server.storage.synced_assistants import PostgresAssistantStorage
from robyn_server.storage.threads import Threads

if TYPE_CHECKING:
    from robyn_server.web.routing import Route

_SYSTEM_POOL = 4
_CATALOGUE_POOL = 4
_log = structlog.get_logger(__name__)


class _Wake:
    """Tells workers through the database."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def run_enqueued(self) -> None:
        self._notifier.notify(RUNS)

    def run_cancelled(self) -> None:
        self._notifier.notify(RUNS, ["cancel"])


class WebApplication:
    """Everything that answers requests. `start()` opens what it needs, `stop()` closes it in the opposite order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._graphs = Graphs(settings.graphs, settings.default_model)
        self._closing = contextlib.AsyncExitStack()
        self._catalogue: Catalogue | None = None
        self._services: Services | None = None
        self._announcing: asyncio.Task[None] | None = None

    @property
    def routes(self) -> list[Route]:
        from robyn_server.web.routes import all_routes

        return all_routes()

    @property
    def services(self) -> Services:
        if self._services is None:
            raise Unavailable("The server is starting")
        return self._services

    async def start(self) -> None:
        """Raises Misconfigured for what only an operator can mend, Unavailable for what may mend itself."""
        settings = self._settings
        scope = parse_scope(settings.agent_sync_scope)
        await prepare_database(settings)
        app = await self._pool(Role.APP, settings.pool_size, "agenthall web")
        system = await self._pool(Role.SYSTEM, _SYSTEM_POOL, "agenthall web system")
        queue = RunQueue(system)
        feed, notifier = EventFeed(queue), Notifier(settings.dsn, "agenthall web")
        listener = Listener(settings.direct_dsn, "agenthall web", {EVENTS: feed.wake}, feed.wake_all)
        options = _sync_options(settings, scope)
        storage, pool = PostgresAssistantStorage(system), await self._catalogue_pool()
        self._catalogue = Catalogue(
            pool,
            storage,
            self._graphs.ids,
            options,
            settings.cache_ttl,
            dsn=settings.catalogue_direct_dsn,
            every=settings.agent_sync_every,
            stale=timedelta(seconds=settings.agent_sync_stale),
        )
        operations = _operations(pool, storage, AgentSyncView(system), self._graphs.ids, options, self._catalogue)
        for part in (feed, notifier, listener, self._catalogue):
            part.start()
            self._closing.push_async_callback(part.stop)
        self._services = self._make_services(app, queue, feed, _Wake(notifier), operations)
        self._announcing = asyncio.create_task(self._announce(), name="announce readiness")

    async def _announce(self) -> None:
        """Requests are answered while the first sync is under way; ready is who has tried it."""
        if self._catalogue is not None:
            await self._catalogue.attempted.wait()
            announce_ready()

    def _make_services(
        self, app: Pool, queue: RunQueue, feed: EventFeed, wake: _Wake, operations: Operations
    ) -> Services:
        assert self._catalogue is not None  # noqa: S101 - made in start(), before the services
        settings = self._settings
        states = States(self._graphs, settings.direct_dsn, pool_size=_SYSTEM_POOL)
        self._closing.push_async_callback(states.stop)
        assistants = AssistantService(Assistants(app), self._graphs, self._catalogue)
        threads = Threads(app)
        return Services(
            assistants=assistants,
            threads=ThreadService(threads, states),
            runs=RunService(Runs(app), queue, threads, assistants, feed, wake, max_attempts=settings.run_max_attempts),
            agent_sync=AgentSyncService(operations),
            check_database=lambda: _answers(app),
        )

    async def stop(self) -> None:
        await self._closing.aclose()

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        catalogue = self._catalogue
        if catalogue is None:
            return False, {}
        return catalogue.attempted.is_set(), {"agent_sync": catalogue.report()}

    async def _pool(self, role: Role, size: int, name: str) -> Pool:
        pool = await open_pool(self._settings.dsn, role, size=size, name=name)
        self._closing.push_async_callback(_close, pool)
        return pool

    async def _catalogue_pool(self) -> Pool:
        """Opened on first use: a catalogue that is away must not keep the server from starting."""
        pool = await open_pool(
            self._settings.catalogue_dsn, None, size=_CATALOGUE_POOL, name="agenthall catalogue", eager=False
        )
        self._closing.push_async_callback(_close, pool)
        return pool


async def prepare_database(settings: Settings) -> list[Migration]:
    """Looks whether the database will do, and brings it up to date. Raises Misconfigured with the reason and a hint."""
    await check_database(settings.direct_dsn)
    return await migrate(settings.direct_dsn, packaged("migrations"))


def parse_scope(text: str) -> Any:
    """The sync scope. Raises Misconfigured naming the variable."""
    try:
        return parse_agent_sync_scope(text)
    except ValueError as error:
        raise Misconfigured(f"AGENT_SYNC_SCOPE: {error}", field="AGENT_SYNC_SCOPE") from None


def _sync_options(settings: Settings, scope: Any) -> AgentSyncOptions:
    return AgentSyncOptions(
        default_model=settings.default_model,
        tool_names="servers" if settings.mcp_tool_names == "servers" else "tools",
        write_back=settings.agent_sync_write_back,
        scope=scope,
    )


def _operations(
    pool: Pool,
    storage: PostgresAssistantStorage,
    view: AgentSyncView,
    graph_ids: Sequence[str],
    options: AgentSyncOptions,
    catalogue: Catalogue,
) -> Operations:
    """Those of a running server: they see what its own passes came to."""
    return Operations(
        pool,
        storage,
        view,
        graph_ids,
        options,
        passes=catalogue.passes,
        misses=catalogue.misses,
        is_feed_connected=lambda: catalogue.is_feed_connected,
    )


async def _answers(pool: Pool) -> None:
    async with translated():
        await pool.fetchval("select 1", timeout=5)


async def _close(pool: Pool) -> None:
    """Gently, and then not: a connection that hangs must not hold up a stop."""
    try:
        async with asyncio.timeout(3):
            await pool.close()
    except (TimeoutError, asyncpg.PostgresError, OSError):
        pool.terminate()


def run_web(settings: Settings) -> NoReturn:
    """The body of `agenthall web`. Never returns."""
    from robyn_server.web.server import run

    _check(settings)

    async def build() -> WebApplication:
        return WebApplication(settings)

    run(
        settings,
        build,
        lambda: None,
        share_port=settings.share_port,
        cpu=settings.web_cpu,
        stall_seconds=settings.stream_stall_seconds,
    )


def run_worker(settings: Settings) -> None:
    """The body of `agenthall worker`. Returns after a signal, drained."""
    from robyn_server import logs

    logs.configure(settings)
    _check(settings)
    import uvloop

    uvloop.run(_worker(settings))


def run_migrate(settings: Settings) -> list[str]:
    """The body of `agenthall migrate`: the names of what was applied. LangGraph's own tables included."""

    async def work() -> list[str]:
        applied = await prepare_database(settings)
        from robyn_server.graphs.checkpoints import set_up

        await set_up(settings.direct_dsn)
        return [str(each) for each in applied]

    return asyncio.run(work())


def run_sync(settings: Settings, request: SyncRequest, progress: Progress) -> SyncReport:
    """The body of `agenthall sync`: on the databases themselves, whether or not a server runs on them.

    Raises Misconfigured, Invalid (scope), NotFound (agent), CatalogueUnavailable.
    """
    from robyn_server import logs

    logs.configure(settings)  # on standard error: the table has the output to itself
    options = _sync_options(settings, parse_scope(settings.agent_sync_scope))

    async def work() -> SyncReport:
        await _prepare_sync(settings, dry_run=request.dry_run)
        async with contextlib.AsyncExitStack() as closing:
            system = await open_pool(settings.dsn, Role.SYSTEM, size=_SYSTEM_POOL, name="agenthall sync")
            closing.push_async_callback(_close, system)
            catalogue = await open_pool(
                settings.catalogue_dsn, None, size=_CATALOGUE_POOL, name="agenthall catalogue", eager=False
            )
            closing.push_async_callback(_close, catalogue)
            graphs = Graphs(settings.graphs, settings.default_model).ids
            return await watched_sync(catalogue, system, graphs, options, request, progress)

    return asyncio.run(work())


async def _prepare_sync(settings: Settings, *, dry_run: bool) -> None:
    """A dry run does not migrate, either. Raises Misconfigured where the schema is not there yet."""
    if not dry_run:
        await prepare_database(settings)
        return
    await check_database(settings.direct_dsn)
    connection = await open_connection(settings.direct_dsn, None, name="agenthall sync")
    try:
        if await connection.fetchval("select to_regclass('agenthall.agent_sync')") is None:
            raise Misconfigured("the database has no schema of Agenthall's yet; run `agenthall migrate`")
    finally:
        await connection.close()


async def _worker(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as closing:
        starting = asyncio.create_task(_start_worker(settings, closing))
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        announce_ready()
        await waiting
        _log.info("worker stops")


async def _start_worker(settings: Settings, closing: contextlib.AsyncExitStack) -> None:
    await prepare_database(settings)
    system = await open_pool(settings.dsn, Role.SYSTEM, size=_SYSTEM_POOL, name="agenthall worker")
    closing.push_async_callback(_close, system)
    from robyn_server.graphs.checkpoints import Checkpoints
    from robyn_server.runtime.worker import Worker, WorkerOptions

    checkpoints = Checkpoints(settings.direct_dsn, size=settings.pool_size)
    await checkpoints.start()
    closing.push_async_callback(checkpoints.stop)
    _limit_tool_servers(settings)
    graphs = Graphs(settings.graphs, settings.default_model)
    options = WorkerOptions(
        slots=settings.worker_slots,
        lease=timedelta(seconds=settings.run_lease_seconds),
        run_timeout=settings.run_timeout_seconds,
        event_ttl=timedelta(seconds=settings.event_ttl_seconds),
        drain=settings.drain_seconds,
    )
    worker = Worker(RunQueue(system), graphs, checkpoints, settings.direct_dsn, options)
    closing.push_async_callback(graphs.close)
    worker.start()
    closing.push_async_callback(worker.stop)
    preloading = asyncio.create_task(graphs.preload(), name="preload graphs")
    closing.callback(preloading.cancel)
    _log.info("worker takes runs", worker_id=str(worker.id), slots=options.slots, graphs=graphs.ids)


def _limit_tool_servers(settings: Settings) -> None:
    from tools_agent.limits import Limits, set_limits

    set_limits(
        Limits(
            connect=settings.mcp_connect_seconds,
            read=settings.mcp_read_seconds,
            idle=settings.mcp_idle_seconds,
        )
    )


def _check(settings: Settings) -> None:
    """What is wrong with the settings is said before anything starts. Raises Misconfigured."""
    parse_scope(settings.agent_sync_scope)
    _ = settings.dsn
