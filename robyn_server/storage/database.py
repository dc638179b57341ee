"""Connections. Every pool works as one of our two roles; row-level security holds for `agenthall_app`.

A query that a principal asks begins with act_as() in the same statement and reads its rows in a LATERAL subquery that depends
on it (OFFSET 0 keeps the planner from pulling it up): so the settings that the policies read are made before any row is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, TypeAlias

import asyncpg

from robyn_server.core.principal import Principal

from .errors import translated
from .pooling import Pooling, pooling_of

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


RELEASE_SECONDS = 2.0
PLANS_SECONDS = 2.0
"""After which a connection that is used looks whether its plans are outgrown."""


class Role(StrEnum):
    APP = "agenthall_app"
    SYSTEM = "agenthall_system"


_OWN_SETTINGS = {Role.APP: "; set mcp.ring = off"}
"""Who changes instances through this role publishes what happened after the commit: a NOTIFY inside would make commits wait in line."""


class _PooledConnection(asyncpg.Connection):
    """No round trip when a connection returns to its pool, for nothing here leaves session state behind, but
    - now and then, to let go of plans that were made for smaller tables (`plans_were_looked_at`; None: they are not for our tables);
    - for one whose statement was given up. Who is cancelled between preparing a statement and executing it leaves PostgreSQL waiting
      for the end of a transaction that nobody has begun, with locks on the statement's tables, and a snapshot that holds up vacuum.
    """

    __slots__ = ("_is_settled", "plans_were_looked_at")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_settled = True
        self.plans_were_looked_at: float | None = None

    def get_reset_query(self) -> str:
        """Any message that is not the statement's next ends a transaction that nobody has begun."""
        was_settled, self._is_settled = self._is_settled, True
        now = time.monotonic()
        if self.plans_were_looked_at is not None and now - self.plans_were_looked_at > PLANS_SECONDS:
            self.plans_were_looked_at = now
            return "select agenthall.forget_outgrown_plans()"
        return "" if was_settled else "select 1"

    async def _do_execute(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super()._do_execute(*arguments, **options)  # type: ignore[misc]
        except (asyncio.CancelledError, TimeoutError):
            self._is_settled = False
            raise


class _Pool(asyncpg.Pool):
    """A connection that does not come back within RELEASE_SECONDS is dropped: asyncpg would wait for the longest query there may be,
    a minute, for a peer that has silently gone. Whoever had it is not told: what was done with it is done, and known."""

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:
        with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
            await super().release(connection, timeout=RELEASE_SECONDS if timeout is None else timeout)


async def open_pool(
    dsn: str, role: Role | None, *, size: int, name: str, timeout: float = 10.0, eager: bool = True
) -> Pool:
    """A pool working as `role` (None: as the login itself). Raises Unavailable when the database cannot be reached, Misconfigured
    when a role would have to go through a transaction pooler; a pool that is not `eager` finds that out at its first use."""
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
            connect=_Dial(dsn, role),
            command_timeout=60,
            timeout=timeout,
            server_settings={"application_name": name},
        )
        await pool
        return pool


class _Dial:
    """Connects for a pool. The first time it looks whether a pooler stands between; through one that lends a session for a transaction
    only, nothing is kept in the session: neither prepared statements nor settings, which others would find there."""

    def __init__(self, dsn: str, role: Role | None) -> None:
        self._dsn = dsn
        self._role = role
        self._pooling: Pooling | None = None

    async def __call__(self, *arguments: Any, **options: Any) -> asyncpg.Connection[Any]:
        if self._pooling is None:
            self._pooling = await self._look(*arguments, **options)
        is_lent = self._pooling is Pooling.TRANSACTION
        if is_lent:
            options["statement_cache_size"] = 0
        connection: _PooledConnection = await asyncpg.connect(*arguments, **options)
        if self._role is not None:
            connection.plans_were_looked_at = time.monotonic()
        return connection if is_lent else await _settled(connection, self._role)

    async def _look(self, *arguments: Any, **options: Any) -> Pooling:
        connection = await asyncpg.connect(*arguments, statement_cache_size=0, **options)
        try:
            pooling = await pooling_of(connection, self._dsn)
        finally:
            await connection.close()
        if self._role is not None:
            pooling.ensure_session(self._dsn)
        return pooling


async def _settled(connection: asyncpg.Connection[Any], role: Role | None) -> asyncpg.Connection[Any]:
    """The session's settings, by statement: of those in a startup packet poolers refuse some and ignore others without a word."""
    work_as = "" if role is None else f"; set role {role.value}{_OWN_SETTINGS.get(role, '')}"
    try:
        await connection.execute(f"set plan_cache_mode = force_generic_plan; set jit = off{work_as}")
    except BaseException:
        connection.terminate()
        raise
    return connection


async def open_connection(dsn: str, role: Role | None, *, name: str, timeout: float = 10.0) -> asyncpg.Connection[Any]:
    """One connection of its own, for LISTEN or NOTIFY. It keeps no prepared statements: a pooler may stand between."""
    async with translated():
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            dsn,
            timeout=timeout,
            command_timeout=60,
            statement_cache_size=0,
            server_settings={"application_name": name},
        )
        return connection if role is None else await _settled(connection, role)


async def open_listening_connection(dsn: str, *, name: str) -> asyncpg.Connection[Any]:
    """One that hears what is said. Raises Misconfigured where a transaction pooler would swallow it without a word."""
    connection = await open_connection(dsn, None, name=name)
    try:
        async with translated():
            (await pooling_of(connection, dsn)).ensure_session(dsn)
    except BaseException:
        connection.terminate()
        raise
    return connection


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
