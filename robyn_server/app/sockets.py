"""Composition root of the sockets process: settings → storage → services → sockets."""

from __future__ import annotations

from contextlib import AsyncExitStack

import structlog
import uvloop

from robyn_server import logs
from robyn_server.concurrency.periodic import Periodic
from robyn_server.identity.authenticator import Authenticator
from robyn_server.identity.tickets import TicketService
from robyn_server.metrics import announce
from robyn_server.metrics.definitions import SOCKETS_OPEN
from robyn_server.registry import InstanceService, OrganizationSelector
from robyn_server.registry.jobs.job_services import JobServices
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.registry.leases.lease_services import LeaseServices
from robyn_server.settings import AuthMode, Settings
from robyn_server.sockets.authentication import DevelopmentCredentials, SocketAuthenticator
from robyn_server.sockets.dependencies import SocketDependencies
from robyn_server.sockets.handshake import Origins
from robyn_server.sockets.job_losses import JobLosses
from robyn_server.sockets.limits import MAX_OFFER_BYTES, Limits
from robyn_server.sockets.monitor import CHECK_SECONDS, LivenessMonitor
from robyn_server.sockets.resume_tokens import ResumeTokens
from robyn_server.sockets.server import SocketServer
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.job_desk import JobDesk
from robyn_server.storage.api_keys import KEYS
from robyn_server.storage.postgres.notify import Listener, Notifier
from robyn_server.storage.registry.instances.instances import Instances
from robyn_server.storage.registry.tickets import SocketTickets

from .listening import check_listening
from .parts.agent_sync import check_settings
from .parts.database import prepare_database
from .parts.jobs import open_job_services
from .parts.leases import open_lease_services
from .parts.pools import Pools, export_pool_metrics
from .process import metrics_refresh, run_until_signal, start_services, tune_garbage_collection

_CATALOGUE_CONNECTIONS = 2
"""For AUTH_MEMBERSHIP_QUERY."""
_FOLLOW_SECONDS = 1.0
_VERIFY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


def run_sockets(settings: Settings) -> None:
    """Run `agenthall sockets` until a signal, and drain."""
    logs.configure(settings)
    check_listening(settings)
    check_settings(settings)
    tune_garbage_collection()
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    application = SocketsApplication(settings)
    try:
        await run_until_signal("sockets", application.start())
    finally:
        await application.stop()


class SocketsApplication:
    """The application of the sockets process.

    `start()` opens its resources and listens, `stop()` drains and closes them in reverse order.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._identity = Authenticator(settings)
        self._closing = AsyncExitStack()

    async def start(self) -> None:
        """Open pools and listen.

        Raises Misconfigured for errors that an operator must fix, Unavailable for temporary ones.
        """
        settings = self._settings
        announce("sockets")
        await prepare_database(settings)
        pools = Pools(settings, self._closing)
        app = await pools.app("agenthall sockets")
        system = await pools.system("agenthall sockets system")
        self._identity.open(system, await pools.catalogue("agenthall sockets catalogue", _CATALOGUE_CONNECTIONS))
        self._closing.push_async_callback(self._identity.stop)
        lease_services = await open_lease_services(settings, pools, system, "sockets")
        notifier, desk = Notifier(settings.dsn, "agenthall sockets"), JobDesk()
        jobs = await open_job_services(pools, app, notifier, desk, "sockets", MAX_OFFER_BYTES)
        losses = JobLosses(jobs.messages, desk)
        start_services(self._closing, lease_services, notifier, jobs, losses, self._listener(lease_services, jobs))
        tickets = SocketTickets(system)
        authenticator = SocketAuthenticator(self._identity, TicketService(tickets), development_credentials(settings))
        dependencies = SocketDependencies(
            InstanceService(
                Instances(app),
                lease_services.heartbeats,
                lease_services.events.wake_all,
                jobs.dispatcher.dispatch_after,
            ),
            lease_services.events,
            OrganizationSelector(settings.dev_tenant, named_by="tenant_id"),
            authenticator,
            ResumeTokens(await tickets.get_key("resume")),
            jobs.instance_jobs,
        )
        await self._open(SessionHub(dependencies, limits(settings), desk), authenticator, lease_services.heartbeats)
        export_pool_metrics(app=app, system=system)

    async def stop(self) -> None:
        await self._closing.aclose()

    def _listener(self, lease_services: LeaseServices, jobs: JobServices) -> Listener:
        def connected() -> None:
            lease_services.events.wake_all()
            jobs.notices.wake_all()
            self._identity.forget_keys()

        channels = {**lease_services.channels, **jobs.channels, KEYS: self._identity.forget_key}
        return Listener(self._settings.direct_dsn, "agenthall sockets", channels, connected)

    async def _open(self, hub: SessionHub, authenticator: SocketAuthenticator, heartbeats: HeartbeatBatcher) -> None:
        settings = self._settings
        origins = Origins(settings.cors_origins, is_open=settings.auth_mode is AuthMode.NONE)
        monitor = LivenessMonitor(hub)
        server = SocketServer(
            hub,
            monitor,
            authenticator,
            origins,
            settings.host,
            settings.sockets_port,
            share_port=settings.share_port,
            is_healthy=lambda: heartbeats.is_database_up,
        )
        await server.start()
        SOCKETS_OPEN.set_function(lambda: len(hub))
        self._closing.push_async_callback(server.stop, settings.drain_seconds)
        start_services(
            self._closing,
            Periodic("instance events", hub.follow_events, _FOLLOW_SECONDS),
            Periodic("liveness", monitor.check, CHECK_SECONDS),
            Periodic("credentials", monitor.verify_credentials, min(_VERIFY_SECONDS, settings.sockets_recheck_seconds)),
            metrics_refresh(),
        )
        _log.info("sockets.serving", host=settings.host, port=server.port)


def development_credentials(settings: Settings) -> DevelopmentCredentials | None:
    """Return the credentials of development, or None if credentials are required."""
    if settings.auth_mode is not AuthMode.NONE:
        return None
    key = settings.dev_key
    return DevelopmentCredentials(None if key is None else key.get_secret_value(), settings.dev_tenant)


def limits(settings: Settings) -> Limits:
    return Limits(
        sockets=settings.sockets_max,
        sockets_per_principal=settings.sockets_per_principal,
        messages_per_second=settings.sockets_messages,
        registrations=settings.sockets_registrations,
        grace_seconds=settings.sockets_grace_seconds,
        recheck_seconds=settings.sockets_recheck_seconds,
    )
