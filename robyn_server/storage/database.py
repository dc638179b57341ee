"""Connections. Every pool works as one of our two roles; row-level security holds for `agenthall_app`.

A query that a principal asks begins with act_as() in the same statement and reads its rows in a LATERAL subquery that depends
on it (OFFSET 0 keeps the planner from pulling it up): so the settings that the policies read are made before any row is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, TypeAlias

import asyncpg

from robyn_server.core.principal import Principal

from .errors import translated

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


RELEASE_SECONDS = 2.0


class Role(StrEnum):
    APP = "agenthall_app"
    SYSTEM = "agenthall_system"


class _PooledConnection(asyncpg.Connection):
    """No round trip when a connection returns to its pool: nothing here leaves session state behind."""

    def get_reset_query(self) -> str:
        return ""


class _Pool(asyncpg.Pool):
    """A connection that does not come back within RELEASE_SECONDS is dropped: asyncpg would wait for the longest query there may be,
    a minute, for a peer that has silently gone."""

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:
        await super().release(connection, timeout=RELEASE_SECONDS if timeout is None else timeout)


async def open_pool(
    dsn: str, role: Role | None, *, size: int, name: str, timeout: float = 10.0, eager: bool = True
) -> Pool:
    """A pool working as `role` (None: as the login itself). Raises Unavailable when the database cannot be reached; a pool that
    is not `eager` finds that out at its first use."""
    settings = {"application_name": name, "plan_cache_mode": "force_generic_plan", "jit": "off"}
    if role is not None:
        settings["role"] = role.value
    async with translated():
        pool: Pool = _Pool(
            dsn,
            min_size=1 if eager else 0,
            max_size=size,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            loop=None,
            connection_class=_PooledConnection,
            record_class=asyncpg.Record,
            command_timeout=60,
            timeout=timeout,
            server_settings=settings,
        )
        await pool
        return pool


async def open_connection(dsn: str, role: Role | None, *, name: str, timeout: float = 10.0) -> asyncpg.Connection[Any]:
    """One connection of its own, for LISTEN or NOTIFY."""
    settings = {"application_name": name} | ({} if role is None else {"role": role.value})
    async with translated():
        return await asyncpg.connect(dsn, timeout=timeout, command_timeout=60, server_settings=settings)


def acting(principal: Principal) -> tuple[str, str, bool]:
    """The first three arguments of every query that a principal asks: identity, organisations, is admin."""
    members = principal.organizations
    organizations = "*" if members is None else "{" + ",".join(sorted(map(str, members))) + "}"
    return principal.identity, organizations, principal.is_admin


@asynccontextmanager
async def acting_as(pool: Pool, principal: Principal) -> AsyncIterator[Connection]:
    """A transaction in which row-level security sees `principal`; for writes of several statements."""
    async with translated(), pool.acquire() as connection, connection.transaction():
        await connection.execute("select agenthall.act_as($1, $2, $3)", *acting(principal))
        yield connection
