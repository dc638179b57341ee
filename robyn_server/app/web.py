"""Composition root of the web process: settings → storage → services → web."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from robyn_server.agent_sync.catalogue_db.unserved import count_unserved
from robyn_server.agent_sync.live.sources import (
    AgentSources,
    MultiSourceOperations,
    agent_sources,
    operations_of,
    source_connections,
)
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.core.errors import Unavailable
from robyn_server.core.ids import new_id
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.graphs.thread_states import ThreadStates
from robyn_server.graphs.topologies import Topologies
from robyn_server.identity.authenticator import Authenticator
from robyn_server.metrics import announce
from robyn_server.registry.jobs.job_services import JobServices
from robyn_server.registry.jobs.offers.polls import PollWaiters
from robyn_server.registry.leases.lease_services import LeaseServices
from robyn_server.run_events.feeds import RunEventFeeds
from robyn_server.run_events.reader import RunEventReader
from robyn_server.run_events.thread_runs import ThreadRunFinder
from robyn_server.services import Services
from robyn_server.services.served_graphs import ServedGraphs
from robyn_server.services.unserved_graphs import UnservedGraphs
from robyn_server.settings import Settings
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.api_keys import KEYS
from robyn_server.storage.postgres.notify import EVENTS, THREADS, Listener, Notifier
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.workers import Workers
from robyn_server.supervisor.readiness import announce_ready
from robyn_server.tracing.langsmith.runs import flush_run_trees

from .listening import check_listening
from .parts.agent_sync import check_settings, parse_sources, sync_options
from .parts.credentials import read_keys
from .parts.database import prepare_database
from .parts.egress import enforce_egress, limit_tool_servers
from .parts.jobs import open_job_services
from .parts.leases import open_lease_services
from .parts.pools import SYSTEM_CONNECTIONS, Pools, answer_limit, export_pool_metrics
from .parts.redis import open_redis
from .parts.tracing import start_tracing
from .process import metrics_refresh, start_services, tune_garbage_collection
from .services import ServiceDependencies, make_services

if TYPE_CHECKING:
    from robyn_server.run_events.redis_feed import RedisFeed
    from robyn_server.tracing.provider import Tracing
    from robyn_server.web.asgi.host import AppHost
    from robyn_server.web.edge.access.gate import AccessGate
    from robyn_server.web.http.routing import Route

_CATALOGUE_CONNECTIONS = 4
_HINT_SECONDS = 2.0
_BUILD_SHARE = 0.75
"""The part of a request's deadline that the build of a graph may take."""
_log = structlog.get_logger(__name__)


def run_web(settings: Settings) -> NoReturn:
    """Run `agenthall web`. Never returns."""
    from robyn_server.web.edge.access.authentication import authenticate
    from robyn_server.web.robyn.server import run

    check_listening(settings)
    check_settings(settings)
    identity = Authenticator(settings)
    gate = _access_gate(settings)
    app = _app_host(settings)
    tracing = start_tracing("web")

    async def build() -> WebApplication:
        return WebApplication(settings, identity, gate, tracing, app)

    run(
        settings,
        build,
        lambda: None,
        share_port=settings.share_port,
        cpu=settings.web_cpu,
        stall_seconds=settings.stream_stall_seconds,
        identify=authenticate(identity),
        gate=gate,
        app=app,
        spans=None if tracing is None else tracing.http,
    )


def _access_gate(settings: Settings) -> AccessGate | None:
    """The gate of a project with handlers. Raises Misconfigured for handlers that cannot be used."""
    if settings.auth_handlers is None:
        return None
    from robyn_server.identity.handlers.loading import load_handlers
    from robyn_server.web.edge.access.gate import AccessGate

    return AccessGate(load_handlers(settings.auth_handlers))


def _app_host(settings: Settings) -> AppHost | None:
    """The host of the project's app. Raises Misconfigured for an app that cannot be served."""
    if settings.http_app is None:
        return None
    from robyn_server.web.asgi.host import host_app

    return host_app(
        settings.http_app,
        (settings.host, settings.port),
        heartbeat_seconds=settings.heartbeat_seconds,
        stop_seconds=settings.drain_seconds / 2,  # twice within the time that the process has to stop
    )


class WebApplication:
    """The application that answers requests. `start()` opens its resources, `stop()` closes them in reverse order."""

    def __init__(
        self,
        settings: Settings,
        identity: Authenticator,
        gate: AccessGate | None = None,
        tracing: Tracing | None = None,
        app: AppHost | None = None,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._gate = gate
        self._tracing = tracing
        self._app = app
        enforce_egress(settings)
        limit_tool_servers(settings)
        self._graphs = Graphs(settings.graph_paths, settings.default_model)
        self._closing = AsyncExitStack()
        self._sources: AgentSources | None = None
        self._services: Services | None = None
        self._lease_services: LeaseServices | None = None
        self._ready_task: asyncio.Task[None] | None = None
        self._unserved_agents = 0
        self._redis: RedisFeed | None = None

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
        """Open pools and services.

        Raises Misconfigured for errors that an operator must fix, Unavailable for temporary ones.
        """
        settings = self._settings
        announce("web")
        if self._tracing is not None:
            self._tracing.announce()
            self._closing.push_async_callback(self._tracing.stop)
        self._closing.push_async_callback(flush_run_trees)  # of updates of states
        await prepare_database(settings)
        await read_keys(settings)
        pools = Pools(settings, self._closing)
        app = await pools.app("agenthall web")
        system = await pools.system("agenthall web system", session=answer_limit(settings))
        catalogue = await pools.catalogue("agenthall catalogue", _CATALOGUE_CONNECTIONS)
        self._identity.open(system, catalogue)
        self._closing.push_async_callback(self._identity.stop)
        if self._gate is not None:
            self._gate.start()
            self._closing.push_async_callback(self._gate.stop)
        lease_services = self._lease_services = await open_lease_services(settings, pools, system, "web")
        sources, operations = self._agent_sync(catalogue, system)
        queue = RunQueue(system)
        feed, finder = await self._feeds(queue), ThreadRunFinder(queue)
        notifier = Notifier(settings.dsn, "agenthall web")
        export_pool_metrics(app=app, system=system, catalogue=catalogue)
        waiters = PollWaiters()
        jobs = await open_job_services(pools, app, notifier, waiters, "web")
        listener = self._listener(feed, finder, lease_services, jobs)
        unserved = UnservedGraphs(Workers(system))
        described = {graph_id: graph.description for graph_id, graph in self._settings.graphs.items()}
        served = ServedGraphs(Workers(system), PostgresSyncStore(system), new_id(), described)
        await served.check()
        start_services(
            self._closing,
            served,
            lease_services,
            feed,
            finder,
            notifier,
            jobs,
            listener,
            sources,
            unserved,
            metrics_refresh(),
        )
        topologies = Topologies(self._graphs, seconds=_BUILD_SHARE * settings.request_seconds)
        self._closing.push_async_callback(topologies.stop)
        dependencies = ServiceDependencies(
            app=app,
            system=system,
            graphs=self._graphs,
            states=self._states(topologies),
            topologies=topologies,
            queue=queue,
            feed=feed,
            finder=finder,
            notifier=notifier,
            sources=sources,
            operations=operations,
            lease_services=lease_services,
            jobs=jobs,
            poll_waiters=waiters,
            enqueue_spans=None if self._tracing is None else self._tracing.enqueue,
        )
        self._services = make_services(settings, dependencies)
        if self._app is not None:
            await self._app.start()
            self._closing.push_async_callback(self._app.stop)
        self._ready_task = asyncio.create_task(self._announce_ready(sources, catalogue), name="announce readiness")
        tune_garbage_collection()

    async def stop(self) -> None:
        await self._closing.aclose()

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        sources, lease_services = self._sources, self._lease_services
        if sources is None or lease_services is None:
            return False, {}
        is_up = lease_services.heartbeats.is_database_up
        unserved = {"unserved_agents": self._unserved_agents} if self._unserved_agents else {}
        parts = {
            "database": {"ok": is_up},
            "agent_sync": sources.report() | unserved,
            "registry": lease_services.sweeper.report(),
        }
        if self._redis is not None:  # without it the server goes on
            parts["redis"] = {"ok": self._redis.is_up}
        return sources.are_attempted and is_up, parts

    async def _announce_ready(self, sources: AgentSources, catalogue: Pool) -> None:
        """Report readiness after the first attempt to sync. Requests are answered before."""
        options = sync_options(self._settings)
        if options.scope.type == "none" and AgentSource.CATALOGUE in parse_sources(self._settings):
            with contextlib.suppress(TimeoutError):  # a hint is not worth a late start
                async with asyncio.timeout(_HINT_SECONDS):
                    self._unserved_agents = await count_unserved(catalogue, options.source)
        if self._unserved_agents:
            _log.warning(
                "the catalogue has agents that are not served",
                agents=self._unserved_agents,
                remedy="set AGENT_SYNC_SCOPE=all",
            )
        await sources.attempted()
        announce_ready()

    def _agent_sync(self, catalogue: Pool, system: Pool) -> tuple[AgentSources, MultiSourceOperations]:
        settings, graph_ids = self._settings, self._graphs.ids
        at = source_connections(
            parse_sources(settings),
            sync_options(settings),
            (catalogue, settings.catalogue_direct_dsn),
            (system, settings.direct_dsn),
        )
        self._sources = agent_sources(
            at,
            system,
            graph_ids,
            settings.cache_ttl,
            every=settings.agent_sync_every,
            stale=timedelta(seconds=settings.agent_sync_stale),
            poll=settings.agent_sync_poll,
        )
        return self._sources, operations_of(self._sources, at, system, graph_ids)

    async def _feeds(self, queue: RunQueue) -> RunEventFeeds:
        postgres = RunEventReader(queue)
        connection = await open_redis(self._settings, self._closing, "agenthall web")
        if connection is None:
            return RunEventFeeds(postgres)
        from robyn_server.run_events.redis_feed import RedisFeed

        self._redis = RedisFeed(connection, queue, is_for_new=self._settings.uses_redis_for_new_runs)
        return RunEventFeeds(postgres, self._redis)

    def _listener(
        self, feed: RunEventFeeds, finder: ThreadRunFinder, lease_services: LeaseServices, jobs: JobServices
    ) -> Listener:
        def connected() -> None:
            feed.wake_all()
            finder.wake_all()
            lease_services.events.wake_all()
            jobs.notices.wake_all()
            self._identity.forget_keys()

        channels = {EVENTS: feed.wake, THREADS: finder.wake, KEYS: self._identity.forget_key}
        channels |= {**lease_services.channels, **jobs.channels}
        return Listener(self._settings.direct_dsn, "agenthall web", channels, connected)

    def _states(self, topologies: Topologies) -> ThreadStates:
        states = ThreadStates(
            topologies,
            self._settings.direct_dsn,
            pool_size=SYSTEM_CONNECTIONS,
            max_bytes=self._settings.max_answer_bytes,
            max_state_bytes=self._settings.max_state_bytes,
        )
        self._closing.push_async_callback(states.stop)
        return states
