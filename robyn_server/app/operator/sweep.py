"""`agenthall sweep`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from robyn_server import logs
from robyn_server.app.parts.database import check_schema
from robyn_server.app.parts.leases import event_retention
from robyn_server.app.parts.pools import Pools
from robyn_server.app.process import stop_signal
from robyn_server.registry.leases.sweeper import SWEEP_SECONDS, Sweeper
from robyn_server.settings import Settings
from robyn_server.storage.registry.instances.leases import Leases, SweepResult

_CONNECTIONS = 2


def run_sweep(settings: Settings, once: bool) -> SweepResult | None:
    """Sweep until a signal arrives, or once and return the result.

    The schema is not migrated. Raises Misconfigured, Unavailable.
    """
    logs.configure(settings)
    return asyncio.run(_sweep(settings, once))


async def _sweep(settings: Settings, once: bool) -> SweepResult | None:
    await check_schema(settings, "mcp.agent_leases")
    if once:
        async with _sweeper(settings, every=0) as sweeper:
            return await sweeper.sweep_and_compact()
    stopping = stop_signal()
    async with _sweeper(settings, every=SWEEP_SECONDS) as sweeper:
        sweeper.start()
        await stopping.wait()
        await sweeper.stop()
    return None


@asynccontextmanager
async def _sweeper(settings: Settings, every: float) -> AsyncIterator[Sweeper]:
    async with AsyncExitStack() as closing:
        pool = await Pools(settings, closing).system("agenthall sweep", _CONNECTIONS)
        yield Sweeper(Leases(pool), event_retention(settings), every=every)
