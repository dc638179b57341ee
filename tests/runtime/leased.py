"""What tests of the registry's engine stand on: a database of the module's own, with instances in it, and a way to cut it off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit
from uuid import UUID

from surroundings import open_pools

from robyn_server.core.registry import Beat, Registered, Registering
from robyn_server.storage.database import Pool
from robyn_server.storage.instances import Instances
from robyn_server.storage.leases import Leases

T1, T2 = UUID(int=1), UUID(int=2)
_EMPTY = """
truncate mcp.agent_leases, mcp.agent_terms, mcp.agent_instances, mcp.agent_brakes, mcp.agent_configurations,
  mcp.agent_manifests, mcp.lease_keepers, mcp.agent_event_inbox, mcp.agent_events restart identity;
update mcp.agent_event_log set lowest = 1, last = 0;
update mcp.lease_pace set interval_seconds = 0, ttl_seconds = 0, live = 0, updated_at = '2000-01-01'
"""


@dataclass(slots=True)
class Leased:
    """`system` works as agenthall_system, `owner` as the login."""

    url: str
    instances: Instances
    leases: Leases
    system: Pool
    owner: Pool

    async def register(
        self, instance_id: str = "i", tenant: UUID = T1, keeper: UUID | None = None, agent_id: str = "ide", **more: Any
    ) -> Registered:
        asked = Registering(agent_id=agent_id, instance_id=instance_id, **more)
        return await self.instances.register(tenant, asked, registered_by="test", keeper_id=keeper)

    async def fill(self, count: int, keeper: UUID | None = None, tenant: UUID = T1) -> list[Registered]:
        return [await self.register(f"i{number}", tenant, keeper) for number in range(count)]

    async def lease(self, of: Registered) -> Any:
        return await self.owner.fetchrow(
            "select * from mcp.agent_leases where registration_id = $1", of.registration_id
        )

    async def now(self) -> datetime:
        found: datetime = await self.owner.fetchval("select clock_timestamp()")
        return found

    async def later(self, seconds: float) -> datetime:
        return await self.now() + timedelta(seconds=seconds)

    async def living(self, at: datetime) -> int:
        count: int = await self.owner.fetchval(
            "select count(*) from mcp.agent_registrations_at($1) where registration_status = 'active'", at
        )
        return count

    async def kinds(self) -> list[str]:
        await self.leases.publish_events(1000)
        return [row["kind"] for row in await self.owner.fetch("select kind from mcp.agent_events order by position")]

    async def empty(self) -> None:
        await self.owner.execute(_EMPTY)


def beat_of(registered: Registered, tenant: UUID = T1, **more: Any) -> Beat:
    return Beat(tenant, registered.registration_id, more.pop("epoch", registered.epoch), **more)


@contextlib.asynccontextmanager
async def open_leased(url: str) -> AsyncIterator[Leased]:
    async with open_pools(url) as (app, system, owner):
        yield Leased(url, Instances(app), Leases(system), system, owner)


@dataclass(slots=True)
class Cut:
    """A way to the database that can be cut: then connections break and new ones are refused."""

    url: str
    target: SplitResult
    server: Any = None
    open: set[Any] = field(default_factory=set)
    is_cut: bool = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        to, back = await _dial(self.target)
        self.open |= {writer, back}
        with contextlib.suppress(OSError):
            await asyncio.gather(_pump(reader, back), _pump(to, writer))
        self.open -= {writer, back}

    def cut(self) -> None:
        self.is_cut = True
        for writer in self.open:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False


async def _dial(target: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    folder = parse_qs(target.query).get("host")
    if folder is not None:  # the embedded one listens on a socket in a folder
        return await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.5432")
    return await asyncio.open_connection(target.hostname, target.port or 5432)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def cuttable(url: str) -> AsyncIterator[Cut]:
    parts = urlsplit(url)
    cut = Cut("", parts)
    cut.server = await asyncio.start_server(cut.accept, "127.0.0.1", 0)
    port = cut.server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    cut.url = f"postgresql://{login}@127.0.0.1:{port}{parts.path}"
    try:
        yield cut
    finally:
        cut.cut()
        cut.server.close()
