"""The leasehold of a process that takes heartbeats, as the settings say."""

from __future__ import annotations

from datetime import timedelta

from robyn_server.runtime.leasehold import Leasehold
from robyn_server.runtime.sweeper import Retention
from robyn_server.settings import Settings
from robyn_server.storage.database import Pool

from .pools import Pools


def event_retention(settings: Settings) -> Retention:
    return Retention(timedelta(seconds=settings.watch_keep_seconds), settings.watch_keep_rows)


async def open_leasehold(settings: Settings, pools: Pools, system: Pool, kind: str) -> Leasehold:
    """Not started yet. Raises Unavailable, Misconfigured."""
    return Leasehold(system, await pools.keeper(kind), kind, event_retention(settings), settings.keeper_id)
