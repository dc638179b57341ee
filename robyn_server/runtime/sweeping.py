"""The body of `agenthall sweep`: a sweeper without a server, as a process or once.

It takes no heartbeats, and so has no keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg

from robyn_server.storage.database import Role, open_pool
from robyn_server.storage.leases import Leases, Swept

from .sweeper import Retention, Sweeper, Turn

_CONNECTIONS = 2
_CLOSE_SECONDS = 3.0
_AGAIN_SECONDS = 0.2


async def sweep_until(stopping: asyncio.Event, dsn: str, retention: Retention) -> None:
    """Raises Unavailable, Misconfigured when it cannot begin."""
    async with _leases(dsn) as leases:
        sweeper = Sweeper(leases, retention)
        sweeper.start()
        await stopping.wait()
        await sweeper.stop()


async def sweep_once(dsn: str, retention: Retention) -> Swept:
    """Waits while another one is at it. Raises Unavailable, Misconfigured."""
    async with _leases(dsn) as leases:
        sweeper = Sweeper(leases, retention, every=0)
        while await sweeper.run_once() is not Turn.SWEPT or sweeper.last is None:
            await asyncio.sleep(_AGAIN_SECONDS)
        await sweeper.compact()
        return sweeper.last


@contextlib.asynccontextmanager
async def _leases(dsn: str) -> AsyncIterator[Leases]:
    pool = await open_pool(dsn, Role.SYSTEM, size=_CONNECTIONS, name="agenthall sweep")
    try:
        yield Leases(pool)
    finally:
        with contextlib.suppress(TimeoutError, asyncpg.PostgresError, OSError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        pool.terminate()
