"""The services of a process that receives heartbeats. Web and sockets processes each have one set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from robyn_server.storage.postgres.pools import Pool, Role, open_pool
from robyn_server.storage.registry.instances.leases import Leases

from .event_broker import AGENT_EVENTS, InstanceEventBroker
from .heartbeats import HeartbeatBatcher
from .sweeper import Retention, Sweeper

KEEPER_CONNECTIONS = 2
"""One for batches of heartbeats and one for the keeper's own row, so that neither waits for the other."""

_CONNECT_SECONDS = 3.0


class LeaseServices:
    """`system` and `keeper_pool` run as agenthall_system.

    The caller closes them, and uses `keeper_pool` for nothing else.
    """

    def __init__(
        self, system: Pool, keeper_pool: Pool, kind: str, retention: Retention, keeper_id: UUID | None = None
    ) -> None:
        self.leases = Leases(system)
        self.heartbeats = HeartbeatBatcher(Leases(keeper_pool), kind, keeper_id)
        self.sweeper = Sweeper(self.leases, retention)
        self.events = InstanceEventBroker(self.leases)

    @property
    def channels(self) -> Mapping[str, Callable[[str], None]]:
        """Handlers of notifications, for the process's listener.

        It also calls `events.wake_all` after it has (re)connected.
        """
        return {AGENT_EVENTS: self.events.wake}

    def start(self) -> None:
        self.heartbeats.start()
        self.sweeper.start()
        self.events.start()

    async def stop(self) -> None:
        await self.events.stop()
        await self.sweeper.stop()
        await self.heartbeats.stop()


async def open_keeper_pool(dsn: str, kind: str) -> Pool:
    """Raises Unavailable, Misconfigured."""
    name = f"agenthall {kind} keeper"
    return await open_pool(dsn, Role.SYSTEM, size=KEEPER_CONNECTIONS, name=name, timeout=_CONNECT_SECONDS)
