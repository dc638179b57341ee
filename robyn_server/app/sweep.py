"""The body of `agenthall sweep`."""

from __future__ import annotations

import asyncio

from robyn_server import logs
from robyn_server.runtime.sweeping import sweep_once, sweep_until
from robyn_server.settings import Settings
from robyn_server.storage.leases import Swept

from .database import check_schema
from .leasehold import event_retention
from .process import stop_signal


def run_sweep(settings: Settings, once: bool) -> Swept | None:
    """What one sweep came to, or nothing, after a signal. Nothing is migrated. Raises Misconfigured, Unavailable."""
    logs.configure(settings)
    return asyncio.run(_sweep(settings, once))


async def _sweep(settings: Settings, once: bool) -> Swept | None:
    await check_schema(settings, "mcp.agent_leases")
    if once:
        return await sweep_once(settings.dsn, event_retention(settings))
    await sweep_until(stop_signal(), settings.dsn, event_retention(settings))
    return None
