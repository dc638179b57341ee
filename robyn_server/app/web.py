"""The web process put together: settings → storage → services → web."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from robyn_server.core.errors import Unavailable
from robyn_server.graphs.loading import Graphs
from robyn_server.graphs.states import States
from robyn_server.metrics import announce
from robyn_server.runtime.agent_sources import AgentSources, agent_sources, operations_of, places
from robyn_server.runtime.channels import EVENTS, Listener, Notifier
from robyn_server.runtime.event_feed import EventFeed
from robyn_server.runtime.leasehold import Leasehold
from robyn_server.runtime.readiness import announce_ready
from robyn_server.runtime.sourced_operations import SourcedOperations
from robyn_server.services import Services
from robyn_server.services.identity import Identity
from robyn_server.settings import Settings
from robyn_server.storage.api_keys import KEYS
from robyn_server.storage.database import Pool
from robyn_server.storage.runs import RunQueue

from .agent_sync import check_settings, parse_sources, sync_options
from .database import prepare_database
from .leasehold import open_leasehold
from .pools import SYSTEM_CONNECTIONS, Pools, follow_pools
from .process import collect_seldom, measuring, start_parts
from .services import Ground, make_services

if TYPE_CHECKING:
    from robyn_server.web.routing import Route

_CATALOGUE_CONNECTIONS = 4


def run_web(settings: Settings) -> NoReturn:
    """The body of `agenthall web`. Never returns."""
    from robyn_server.web.auth import authenticate
    from robyn_server.web.server import run

    check_settings(settings)
    identity = Identity(settings)

    async def build() -> WebApplication:
        return WebApplication(settings, identity)

    run(
        settings,
        build,
        lambda: None,
        share_port=settings.share_port,
        cpu=settings.web_cpu,
        stall_seconds=settings.stream_stall_seconds,
        identify=authenticate(identity),
    )


class WebApplication:
    """Everything that answers requests. `start()` opens what it needs, `stop()` closes it in the opposite order."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._graphs = Graphs(settings.graphs, settings.default_model)
        self._closing = AsyncExitStack()
        self._sources: AgentSources | None = None
        self._services: Services | None = None
        self._leasehold: Leasehold | None = None
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
        announce("web")
        await prepare_database(settings)
        pools = Pools(settings, self._closing)
        app = await pools.app("agenthall web")
        system = await pools.system("agenthall web system")
        catalogue = await pools.catalogue("agenthall catalogue", _CATALOGUE_CONNECTIONS)
        self._identity.open(system, catalogue)
        self._closing.push_async_callback(self._identity.stop)
        leasehold = self._leasehold = await open_leasehold(settings, pools, system, "web")
        sources, operations = self._agent_sync(catalogue, system)
        queue = RunQueue(system)
        feed, notifier = EventFeed(queue), Notifier(settings.dsn, "agenthall web")
        follow_pools(app=app, system=system, catalogue=catalogue)
        listener = self._listener(feed, leasehold)
        start_parts(self._closing, leasehold, feed, notifier, listener, sources, measuring())
        ground = Ground(
            app=app,
            system=system,
            graphs=self._graphs,
            states=self._states(),
            queue=queue,
            feed=feed,
            notifier=notifier,
            sources=sources,
            operations=operations,
            leasehold=leasehold,
        )
        self._services = make_services(settings, ground)
        self._announcing = asyncio.create_task(self._announce(sources), name="announce readiness")
        collect_seldom()

    async def stop(self) -> None:
        await self._closing.aclose()

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        sources = self._sources
        if sources is None:
            return False, {}
        registry = {} if self._leasehold is None else self._leasehold.sweeper.report()
        return sources.are_attempted, {"agent_sync": sources.report(), "registry": registry}

    async def _announce(self, sources: AgentSources) -> None:
        """Requests are answered while the first sync is under way; ready is who has tried it."""
        await sources.attempted()
        announce_ready()

    def _agent_sync(self, catalogue: Pool, system: Pool) -> tuple[AgentSources, SourcedOperations]:
        settings, graph_ids = self._settings, self._graphs.ids
        at = places(
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

    def _listener(self, feed: EventFeed, leasehold: Leasehold) -> Listener:
        def connected() -> None:
            feed.wake_all()
            leasehold.wake_all()
            self._identity.forget_keys()

        channels = {EVENTS: feed.wake, KEYS: self._identity.forget_key, **leasehold.channels}
        return Listener(self._settings.direct_dsn, "agenthall web", channels, connected)

    def _states(self) -> States:
        states = States(self._graphs, self._settings.direct_dsn, pool_size=SYSTEM_CONNECTIONS)
        self._closing.push_async_callback(states.stop)
        return states
