"""A sockets server in this process with a fake registry, for tests of the protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from network.websocket_client import dial

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.errors import BadRequest, Unauthenticated
from robyn_server.sockets.authentication import DevelopmentCredentials, SocketAuthenticator
from robyn_server.sockets.dependencies import SocketDependencies
from robyn_server.sockets.handshake import Origins
from robyn_server.sockets.limits import Limits
from robyn_server.sockets.monitor import CHECK_SECONDS, LivenessMonitor
from robyn_server.sockets.resume_tokens import ResumeTokens
from robyn_server.sockets.server import SocketServer
from robyn_server.sockets.sessions.hub import SessionHub
from servers.fake_instance_jobs import FakeInstanceJobs
from servers.fake_registry import FakeRegistry, FakeWatch

ALPHA, BETA = UUID(int=0xA), UUID(int=0xB)
DEVELOPMENT = UUID("00000000-0000-0000-0000-000000000001")

LIMITS = Limits(
    sockets=64,
    sockets_per_principal=32,
    messages_per_second=1000,
    registrations=4,
    grace_seconds=10,
    recheck_seconds=15,
    watches=2,
)


class FakeAuthenticator:
    """API keys and their principals. `blocked_keys`: verification of such a key waits. `waiting`: those that do."""

    def __init__(self) -> None:
        self.blocked_keys: dict[str, asyncio.Event] = {}
        self.waiting: set[str] = set()
        self.keys = {
            "alpha-key": Principal("key:alpha", frozenset({ALPHA})),
            "beta-key": Principal("key:beta", frozenset({BETA})),
            "both-key": Principal("key:both", frozenset({ALPHA, BETA})),
            "reader": Principal("key:reader", frozenset({ALPHA}), frozenset({"agents:read"}), limited=True),
        }

    async def identify(self, credentials: Mapping[str, str] | str, organization: UUID | None = None) -> Principal:
        key = credentials if isinstance(credentials, str) else _credential(credentials)
        if key in self.blocked_keys:
            self.waiting.add(key)
            await self.blocked_keys[key].wait()
        if key not in self.keys:
            raise Unauthenticated("The API key is not valid.", code="key_invalid")
        found = self.keys[key]
        return found if organization is None else found.in_organization(organization, named_by="tenant_id")


def _credential(headers: Mapping[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


class LocalAuthenticator:
    """AUTH_MODE=none."""

    async def identify(self, credentials: Mapping[str, str] | str, organization: UUID | None = None) -> Principal:
        return LOCAL if organization is None else LOCAL.in_organization(organization)


class FakeTickets:
    def __init__(self) -> None:
        self.issued: dict[str, Mapping[str, str]] = {}

    async def redeem(self, ticket: str) -> Mapping[str, str]:
        if ticket not in self.issued:
            raise Unauthenticated("The ticket is not valid.", code="ticket_invalid")
        return self.issued.pop(ticket)


def resolve_organization(principal: Principal, named: UUID | None) -> UUID:
    if named is not None:
        return principal.in_organization(named, named_by="tenant_id").acting_for or named
    found = principal.organization_for_new()
    if found is None:
        raise BadRequest("Name a tenant.", code="organization_required", field="tenant_id")
    return found


@dataclass
class LocalSocketServer:
    url: str
    port: int
    hub: SessionHub
    monitor: LivenessMonitor
    registry: FakeRegistry
    watch: FakeWatch
    authenticator: FakeAuthenticator
    tickets: FakeTickets
    socket_server: SocketServer
    jobs: FakeInstanceJobs

    def dial(self, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
        """Connect with `key`, by default one of the organization ALPHA. None: without credentials."""
        key = options.pop("key", "alpha-key")
        headers = options.pop("headers", {}) | ({"X-API-Key": key} if key else {})
        return dial(options.pop("url", self.url), headers=headers, **options)


@contextlib.asynccontextmanager
async def local_socket_server(
    *, is_open: bool = False, origins: str = "*", dev_key: str | None = "dev-key", **limits: Any
) -> AsyncIterator[LocalSocketServer]:
    registry, watch, authenticator, tickets = FakeRegistry(), FakeWatch(), FakeAuthenticator(), FakeTickets()
    jobs = FakeInstanceJobs()
    development = DevelopmentCredentials(dev_key, DEVELOPMENT) if is_open else None
    socket_authenticator = SocketAuthenticator(LocalAuthenticator() if is_open else authenticator, tickets, development)
    hub = SessionHub(
        SocketDependencies(registry, watch, resolve_organization, socket_authenticator, ResumeTokens(b"k" * 32), jobs),
        replace(LIMITS, **limits),
    )
    monitor = LivenessMonitor(hub)
    server = SocketServer(hub, monitor, socket_authenticator, Origins(origins, is_open=is_open), "127.0.0.1", 0)
    await server.start()
    background = [asyncio.create_task(hub.follow_events()), asyncio.create_task(_run_checks(monitor, hub.limits))]
    try:
        yield LocalSocketServer(
            f"ws://127.0.0.1:{server.port}/ws",
            server.port,
            hub,
            monitor,
            registry,
            watch,
            authenticator,
            tickets,
            server,
            jobs,
        )
    finally:
        for task in background:
            task.cancel()
        await server.stop(2)


async def _run_checks(monitor: LivenessMonitor, limits: Limits) -> None:
    while True:
        await monitor.check()
        await monitor.verify_credentials()
        await asyncio.sleep(min(CHECK_SECONDS, limits.silent_seconds / 20))
