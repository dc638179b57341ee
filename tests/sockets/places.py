"""A sockets server in this process, on a port of its own, with a fake registry behind it: for the protocol's own tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from dialled import dial
from fake_registry import FakeRegistry, FakeWatch

from robyn_server.core.errors import BadRequest, Unauthenticated
from robyn_server.core.principal import LOCAL, Principal
from robyn_server.sockets.admission import Admission, Development
from robyn_server.sockets.hall import ROUND_SECONDS, Hall, Rooms
from robyn_server.sockets.handshake import Origins
from robyn_server.sockets.limits import Limits
from robyn_server.sockets.resume import ResumeTokens
from robyn_server.sockets.server import SocketServer

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


class People:
    """Keys and who they are; a test may take one away. `hold_up`: who is asked about that key hears it when the event is set."""

    def __init__(self) -> None:
        self.hold_up: dict[str, asyncio.Event] = {}
        self.asked: set[str] = set()
        self.keys = {
            "alpha-key": Principal("key:alpha", frozenset({ALPHA})),
            "beta-key": Principal("key:beta", frozenset({BETA})),
            "both-key": Principal("key:both", frozenset({ALPHA, BETA})),
            "reader": Principal("key:reader", frozenset({ALPHA}), frozenset({"agents:read"}), limited=True),
        }

    async def identify(self, credentials: Mapping[str, str] | str, organization: UUID | None = None) -> Principal:
        key = credentials if isinstance(credentials, str) else _shown(credentials)
        if key in self.hold_up:
            self.asked.add(key)
            await self.hold_up[key].wait()
        if key not in self.keys:
            raise Unauthenticated("The API key is not valid.", code="key_invalid")
        found = self.keys[key]
        return found if organization is None else found.in_organization(organization, named_by="tenant_id")


def _shown(headers: Mapping[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


class Everybody:
    """AUTH_MODE=none."""

    async def identify(self, credentials: Mapping[str, str] | str, organization: UUID | None = None) -> Principal:
        return LOCAL if organization is None else LOCAL.in_organization(organization)


class Tickets:
    def __init__(self) -> None:
        self.issued: dict[str, Mapping[str, str]] = {}

    async def take(self, ticket: str) -> Mapping[str, str]:
        if ticket not in self.issued:
            raise Unauthenticated("The ticket is not valid.", code="ticket_invalid")
        return self.issued.pop(ticket)


def tenant_of(principal: Principal, named: UUID | None) -> UUID:
    if named is not None:
        return principal.in_organization(named, named_by="tenant_id").acting_for or named
    found = principal.organization_for_new()
    if found is None:
        raise BadRequest("Name a tenant.", code="organization_required", field="tenant_id")
    return found


@dataclass
class Place:
    url: str
    port: int
    hall: Hall
    registry: FakeRegistry
    watch: FakeWatch
    people: People
    tickets: Tickets
    server: SocketServer

    def dial(self, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
        """As the tenant ALPHA, unless `key` says otherwise (None: nobody)."""
        key = options.pop("key", "alpha-key")
        headers = options.pop("headers", {}) | ({"X-API-Key": key} if key else {})
        return dial(options.pop("url", self.url), headers=headers, **options)


@contextlib.asynccontextmanager
async def place(
    *, is_open: bool = False, origins: str = "*", dev_key: str | None = "dev-key", **limits: Any
) -> AsyncIterator[Place]:
    registry, watch, people, tickets = FakeRegistry(), FakeWatch(), People(), Tickets()
    development = Development(dev_key, DEVELOPMENT) if is_open else None
    admission = Admission(Everybody() if is_open else people, tickets, development)
    hall = Hall(
        Rooms(registry, watch, tenant_of, admission, ResumeTokens(b"k" * 32), uuid4()), replace(LIMITS, **limits)
    )
    server = SocketServer(hall, admission, Origins(origins, is_open=is_open), "127.0.0.1", 0)
    await server.start()
    background = [asyncio.create_task(hall.follow()), asyncio.create_task(_rounds(hall))]
    try:
        yield Place(f"ws://127.0.0.1:{server.port}/ws", server.port, hall, registry, watch, people, tickets, server)
    finally:
        for task in background:
            task.cancel()
        await server.stop(2)


async def _rounds(hall: Hall) -> None:
    while True:
        await hall.look()
        await hall.verify()
        await asyncio.sleep(min(ROUND_SECONDS, hall.limits.silent_seconds / 20))
