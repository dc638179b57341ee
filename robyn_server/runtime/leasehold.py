"""What a process needs that takes heartbeats: the keeper, the sweeper and the watch. Web and sockets processes each have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from robyn_server.storage.database import Pool, Role, open_pool
from robyn_server.storage.leases import Leases

from .instance_watch import AGENT_EVENTS, Watch
from .lease_keeper import LeaseKeeper
from .sweeper import Retention, Sweeper

KEEPER_CONNECTIONS = 2
"""One for heartbeats, one for the keeper's own: neither ever waits for another's work."""

_CONNECT_SECONDS = 3.0


class Leasehold:
    """`system` and `keeper_pool` work as agenthall_system; nobody else uses the latter. Pools are their owner's to close."""

    def __init__(
        self, system: Pool, keeper_pool: Pool, kind: str, retention: Retention, keeper_id: UUID | None = None
    ) -> None:
        self.leases = Leases(system)
        self.keeper = LeaseKeeper(Leases(keeper_pool), kind, keeper_id)
        self.sweeper = Sweeper(self.leases, retention)
        self.watch = Watch(self.leases)

    @property
    def channels(self) -> Mapping[str, Callable[[str], None]]:
        """For the process's listener, which calls `wake_all` when it has (re)connected."""
        return {AGENT_EVENTS: self.watch.wake}

    def wake_all(self) -> None:
        self.watch.wake_all()

    def start(self) -> None:
        self.keeper.start()
        self.sweeper.start()
        self.watch.start()

    async def stop(self) -> None:
        await self.watch.stop()
        await self.sweeper.stop()
        await self.keeper.stop()


async def open_keeper_pool(dsn: str, kind: str) -> Pool:
    """Raises Unavailable, Misconfigured."""
    name = f"agenthall {kind} keeper"
    return await open_pool(dsn, Role.SYSTEM, size=KEEPER_CONNECTIONS, name=name, timeout=_CONNECT_SECONDS)
