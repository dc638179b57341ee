"""Connection pools of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

import asyncpg

from robyn_server.metrics.definitions import CONNECTIONS, CONNECTIONS_BUSY
from robyn_server.registry.leases.lease_services import open_keeper_pool
from robyn_server.settings import Settings
from robyn_server.storage.postgres.pools import Pool, Role, open_pool

SYSTEM_CONNECTIONS = 4
_CLOSE_SECONDS = 3.0


class Pools:
    """Opens pools, which `closing` closes. Raises Unavailable, Misconfigured."""

    def __init__(self, settings: Settings, closing: AsyncExitStack) -> None:
        self._settings = settings
        self._closing = closing

    async def app(self, name: str) -> Pool:
        settings = self._settings
        pool = await open_pool(
            settings.dsn,
            Role.APP,
            size=settings.pool_size,
            name=name,
            session=registry_quotas(settings) | answer_limit(settings) | thread_ttl(settings),
        )
        return self._close_at_exit(pool)

    async def system(
        self, name: str, size: int = SYSTEM_CONNECTIONS, session: Mapping[str, int | str] | None = None
    ) -> Pool:
        pool = await open_pool(self._settings.dsn, Role.SYSTEM, size=size, name=name, session=session)
        return self._close_at_exit(pool)

    async def keeper(self, kind: str) -> Pool:
        return self._close_at_exit(await open_keeper_pool(self._settings.dsn, kind))

    async def catalogue(self, name: str, size: int) -> Pool:
        """Open connections on first use, so that a process starts while the catalogue is unavailable."""
        return self._close_at_exit(
            await open_pool(self._settings.catalogue_dsn, None, size=size, name=name, eager=False)
        )

    def _close_at_exit(self, pool: Pool) -> Pool:
        self._closing.push_async_callback(close_pool, pool)
        return pool


def registry_quotas(settings: Settings) -> dict[str, int | str]:
    """The parameters by which schema mcp limits what one organization may have."""
    return {
        "mcp.max_agent_types": settings.max_agent_types,
        "mcp.max_configurations": settings.max_configurations,
        "mcp.max_instances": settings.max_instances,
    }


def answer_limit(settings: Settings) -> dict[str, int | str]:
    """The parameter by which the database limits the size of a list, for processes that answer requests."""
    return {"agenthall.max_answer_bytes": settings.max_answer_bytes}


def thread_ttl(settings: Settings) -> dict[str, int | str]:
    """The parameters that give threads a ttl which name none."""
    if settings.thread_ttl is None:
        return {}
    return {
        "agenthall.thread_ttl": f"{settings.thread_ttl} minutes",
        "agenthall.thread_ttl_strategy": settings.thread_ttl_strategy,
    }


async def close_pool(pool: Pool) -> None:
    """Close a pool. Terminate it after a timeout, because a connection that hangs must not delay a stop."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()
    except (TimeoutError, asyncpg.PostgresError, OSError):
        pool.terminate()


def export_pool_metrics(**pools: Pool) -> None:
    """Export the sizes of pools, by the names that the metrics use."""
    for name, pool in pools.items():
        CONNECTIONS.set_function(pool.get_size, name)
        CONNECTIONS_BUSY.set_function(partial(_busy, pool), name)


def _busy(pool: Pool) -> int:
    return pool.get_size() - pool.get_idle_size()
