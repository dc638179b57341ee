"""The lease services of a process that receives heartbeats, configured by the settings."""

from __future__ import annotations

from datetime import timedelta

from robyn_server.registry.leases.lease_services import LeaseServices
from robyn_server.registry.leases.sweeper import Retention
from robyn_server.settings import Settings
from robyn_server.storage.postgres.pools import Pool

from .pools import Pools


def event_retention(settings: Settings) -> Retention:
    return Retention(timedelta(seconds=settings.watch_keep_seconds), settings.watch_keep_rows)


async def open_lease_services(settings: Settings, pools: Pools, system: Pool, kind: str) -> LeaseServices:
    """Raises Unavailable, Misconfigured."""
    return LeaseServices(system, await pools.keeper(kind), kind, event_retention(settings), settings.keeper_id)
