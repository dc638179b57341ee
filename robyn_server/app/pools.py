"""A process's connection pools, and how they are closed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import asyncpg

from robyn_server.metrics.definitions import CONNECTIONS, CONNECTIONS_BUSY
from robyn_server.runtime.leasehold import open_keeper_pool
from robyn_server.settings import Settings
from robyn_server.storage.database import Pool, Role, open_pool

SYSTEM_CONNECTIONS = 4
_CLOSE_SECONDS = 3.0


class Pools:
    """Opens pools that `closing` closes. Raises Unavailable, Misconfigured."""

    def __init__(self, settings: Settings, closing: AsyncExitStack) -> None:
        self._settings = settings
        self._closing = closing

    async def app(self, name: str) -> Pool:
        return self._kept(await open_pool(self._settings.dsn, Role.APP, size=self._settings.pool_size, name=name))

    async def system(self, name: str, size: int = SYSTEM_CONNECTIONS) -> Pool:
        return self._kept(await open_pool(self._settings.dsn, Role.SYSTEM, size=size, name=name))

    async def keeper(self, kind: str) -> Pool:
        return self._kept(await open_keeper_pool(self._settings.dsn, kind))

    async def catalogue(self, name: str, size: int) -> Pool:
        """Opened on first use: a catalogue that is away must not keep a process from starting."""
        return self._kept(await open_pool(self._settings.catalogue_dsn, None, size=size, name=name, eager=False))

    def _kept(self, pool: Pool) -> Pool:
        self._closing.push_async_callback(close_pool, pool)
        return pool


async def close_pool(pool: Pool) -> None:
    """Gently, and then not: a connection that hangs must not hold up a stop."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()
    except (TimeoutError, asyncpg.PostgresError, OSError):
        pool.terminate()


def follow_pools(**pools: Pool) -> None:
    """By the word that the metrics have for each."""
    for of, pool in pools.items():
        CONNECTIONS.follow(pool.get_size, of)
        CONNECTIONS_BUSY.follow(partial(_busy, pool), of)


def _busy(pool: Pool) -> int:
    return pool.get_size() - pool.get_idle_size()
