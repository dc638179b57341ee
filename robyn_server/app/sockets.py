"""The sockets process put together: settings → storage → services → sockets."""

from __future__ import annotations

from contextlib import AsyncExitStack

import structlog
import uvloop

from robyn_server import logs
from robyn_server.metrics import announce
from robyn_server.metrics.definitions import SOCKETS_OPEN
from robyn_server.registry import InstanceService, Tenants
from robyn_server.runtime.background import Periodic
from robyn_server.runtime.channels import Listener
from robyn_server.runtime.leasehold import Leasehold
from robyn_server.services.identity import Identity
from robyn_server.services.tickets import TicketService
from robyn_server.settings import AuthMode, Settings
from robyn_server.sockets.admission import Admission, Development
from robyn_server.sockets.hall import ROUND_SECONDS, Hall, Rooms
from robyn_server.sockets.handshake import Origins
from robyn_server.sockets.limits import Limits
from robyn_server.sockets.resume import ResumeTokens
from robyn_server.sockets.server import SocketServer
from robyn_server.storage.api_keys import KEYS
from robyn_server.storage.instances import Instances
from robyn_server.storage.socket_tickets import SocketTickets

from .agent_sync import check_settings
from .database import prepare_database
from .leasehold import open_leasehold
from .pools import Pools, follow_pools
from .process import collect_seldom, measuring, run_until_signal, start_parts

_CATALOGUE_CONNECTIONS = 2
"""For AUTH_MEMBERSHIP_QUERY."""
_FOLLOW_SECONDS = 1.0
_VERIFY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


def run_sockets(settings: Settings) -> None:
    """The body of `agenthall sockets`. Returns after a signal, drained."""
    logs.configure(settings)
    check_settings(settings)
    collect_seldom()
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    application = SocketsApplication(settings)
    try:
        await run_until_signal("sockets", application.start())
    finally:
        await application.stop()


class SocketsApplication:
    """`start()` opens what it needs and listens, `stop()` drains and closes in the opposite order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._identity = Identity(settings)
        self._closing = AsyncExitStack()

    async def start(self) -> None:
        """Raises Misconfigured for what only an operator can mend, Unavailable for what may mend itself."""
        settings = self._settings
        announce("sockets")
        await prepare_database(settings)
        pools = Pools(settings, self._closing)
        app = await pools.app("agenthall sockets")
        system = await pools.system("agenthall sockets system")
        self._identity.open(system, await pools.catalogue("agenthall sockets catalogue", _CATALOGUE_CONNECTIONS))
        self._closing.push_async_callback(self._identity.stop)
        leasehold = await open_leasehold(settings, pools, system, "sockets")
        start_parts(self._closing, leasehold, self._listener(leasehold))
        tickets = SocketTickets(system)
        admission = Admission(self._identity, TicketService(tickets), development(settings))
        rooms = Rooms(
            InstanceService(Instances(app), leasehold.keeper, leasehold.wake_all),
            leasehold.watch,
            Tenants(settings.dev_tenant, named_by="tenant_id"),
            admission,
            ResumeTokens(await tickets.key("resume")),
            leasehold.keeper.id,
        )
        await self._open(Hall(rooms, limits(settings)), admission)
        follow_pools(app=app, system=system)

    async def stop(self) -> None:
        await self._closing.aclose()

    def _listener(self, leasehold: Leasehold) -> Listener:
        def connected() -> None:
            leasehold.wake_all()
            self._identity.forget_keys()

        channels = {**leasehold.channels, KEYS: self._identity.forget_key}
        return Listener(self._settings.direct_dsn, "agenthall sockets", channels, connected)

    async def _open(self, hall: Hall, admission: Admission) -> None:
        settings = self._settings
        origins = Origins(settings.cors_origins, is_open=settings.auth_mode is AuthMode.NONE)
        server = SocketServer(
            hall, admission, origins, settings.host, settings.sockets_port, share_port=settings.share_port
        )
        await server.start()
        SOCKETS_OPEN.follow(lambda: len(hall))
        self._closing.push_async_callback(server.stop, settings.drain_seconds)
        start_parts(
            self._closing,
            Periodic("superseded sockets", hall.follow, _FOLLOW_SECONDS),
            Periodic("rounds", hall.look, ROUND_SECONDS),
            Periodic("credentials", hall.verify, min(_VERIFY_SECONDS, settings.sockets_recheck_seconds)),
            measuring(),
        )
        _log.info("sockets.serving", host=settings.host, port=server.port)


def development(settings: Settings) -> Development | None:
    """None where credentials are asked for."""
    if settings.auth_mode is not AuthMode.NONE:
        return None
    key = settings.dev_key
    return Development(None if key is None else key.get_secret_value(), settings.dev_tenant)


def limits(settings: Settings) -> Limits:
    return Limits(
        sockets=settings.sockets_max,
        sockets_per_principal=settings.sockets_per_principal,
        messages_per_second=settings.sockets_messages,
        registrations=settings.sockets_registrations,
        grace_seconds=settings.sockets_grace_seconds,
        recheck_seconds=settings.sockets_recheck_seconds,
    )
