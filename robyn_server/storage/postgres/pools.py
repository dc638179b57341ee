"""Pools and connections.

Rules
  1. A pool works as one of two roles. Row-level security applies to `agenthall_app`; `agenthall_system` bypasses it.
  2. A query of a principal calls act_as() and reads its rows in the same statement, in a LATERAL subquery that depends
     on the call. So the settings that the policies read are made before any row is read. OFFSET 0 keeps the planner
     from pulling the subquery up.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, TypeAlias

import asyncpg

from robyn_server.core.access.principal import Principal

from .errors import translated
from .pooler import PoolerMode, detect_pooler
from .queries import load

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_SQL = load("postgres/pools")

RELEASE_SECONDS = 2.0
PLAN_CHECK_SECONDS = 2.0
"""A connection that is used checks this often whether the tables have outgrown its plans."""


class Role(StrEnum):
    APP = "agenthall_app"
    SYSTEM = "agenthall_system"


_ROLE_SETTINGS = {
    # events of instances are published after the commit: a NOTIFY inside a transaction would serialize commits
    Role.APP: "; set mcp.notify_events = off",
}


class _PooledConnection(asyncpg.Connection):
    """A connection that returns to its pool without a round trip, because the server leaves no session state behind.

    There are two exceptions:
    - Every PLAN_CHECK_SECONDS it discards plans that were made for smaller tables. `plans_checked_at` is None for a
      database that is not the server's own.
    - After a cancelled statement it sends a query. A cancellation between Parse and Execute leaves PostgreSQL in an
      implicit transaction, which holds locks on the statement's tables and a snapshot that delays vacuum.
    """

    __slots__ = ("_is_synced", "plans_checked_at")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_synced = True
        self.plans_checked_at: float | None = None

    def get_reset_query(self) -> str:
        was_synced, self._is_synced = self._is_synced, True
        now = time.monotonic()
        if self.plans_checked_at is not None and now - self.plans_checked_at > PLAN_CHECK_SECONDS:
            self.plans_checked_at = now
            return "select agenthall.discard_outgrown_plans()"
        return "" if was_synced else "select 1"  # any query ends the implicit transaction

    async def _do_execute(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super()._do_execute(*arguments, **options)  # type: ignore[misc]
        except (asyncio.CancelledError, TimeoutError):
            self._is_synced = False
            raise


class _Pool(asyncpg.Pool):
    """A pool that drops a connection which cannot be released within RELEASE_SECONDS.

    asyncpg would wait for a silent peer as long as the longest query may take. The caller keeps the result.
    """

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:
        with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
            await super().release(connection, timeout=RELEASE_SECONDS if timeout is None else timeout)


async def open_pool(
    dsn: str,
    role: Role | None,
    *,
    size: int,
    name: str,
    timeout: float = 10.0,
    eager: bool = True,
    session: Mapping[str, int | str] | None = None,
) -> Pool:
    """Open a pool that works as `role` (None: as the login itself). `session`: parameters that its connections set.

    Raises Unavailable when the database cannot be reached, and Misconfigured for a role behind a transaction pooler. A
    pool that is not `eager` raises them at its first use.
    """
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
            connect=_Connector(dsn, role, session or {}),
            command_timeout=60,
            timeout=timeout,
            server_settings={"application_name": name},
        )
        await pool
        return pool


class _Connector:
    """Connects for a pool. The first connection detects a pooler.

    Nothing is kept in a session behind a transaction pooler: other clients would find the prepared statements and
    settings there.
    """

    def __init__(self, dsn: str, role: Role | None, session: Mapping[str, int | str]) -> None:
        self._dsn = dsn
        self._role = role
        self._session = session
        self._mode: PoolerMode | None = None

    async def __call__(self, *arguments: Any, **options: Any) -> asyncpg.Connection[Any]:
        if self._mode is None:
            self._mode = await self._detect(*arguments, **options)
        is_shared = self._mode is PoolerMode.TRANSACTION
        if is_shared:
            options["statement_cache_size"] = 0
        connection: _PooledConnection = await asyncpg.connect(*arguments, **options)
        if self._role is not None:
            connection.plans_checked_at = time.monotonic()
        return connection if is_shared else await _configured(connection, self._role, self._session)

    async def _detect(self, *arguments: Any, **options: Any) -> PoolerMode:
        connection = await asyncpg.connect(*arguments, statement_cache_size=0, **options)
        try:
            mode = await detect_pooler(connection, self._dsn)
        finally:
            await connection.close()
        if self._role is not None:
            mode.ensure_session(self._dsn)
        return mode


async def _configured(
    connection: asyncpg.Connection[Any], role: Role | None, session: Mapping[str, int | str]
) -> asyncpg.Connection[Any]:
    set_role = "" if role is None else f"; set role {role.value}{_ROLE_SETTINGS.get(role, '')}"
    set_role += "".join(f"; set {name} = '{value}'" for name, value in session.items())
    try:
        # By statement: poolers refuse some settings of a startup packet and silently ignore others.
        # Rows in use are in memory, so an index is read nearly as fast as a table: random_page_cost.
        await connection.execute(
            f"set plan_cache_mode = force_generic_plan; set jit = off; set random_page_cost = 1.1{set_role}"
        )
    except BaseException:
        connection.terminate()
        raise
    return connection


async def open_connection(dsn: str, role: Role | None, *, name: str, timeout: float = 10.0) -> asyncpg.Connection[Any]:
    """Open a connection outside a pool, for LISTEN or NOTIFY. It keeps no prepared statements, because of poolers."""
    async with translated():
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            dsn,
            timeout=timeout,
            command_timeout=60,
            statement_cache_size=0,
            server_settings={"application_name": name},
        )
        return connection if role is None else await _configured(connection, role, {})


async def open_listening_connection(dsn: str, *, name: str) -> asyncpg.Connection[Any]:
    """Open a connection for LISTEN. Raises Misconfigured behind a transaction pooler, where LISTEN has no effect."""
    connection = await open_connection(dsn, None, name=name)
    try:
        async with translated():
            (await detect_pooler(connection, dsn)).ensure_session(dsn)
    except BaseException:
        connection.terminate()
        raise
    return connection


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Open a transaction. If the block is cancelled or times out, drop the connection, and with it the transaction.

    A ROLLBACK would wait for the statement that did not answer, as long as the database hangs.
    """
    async with translated(), pool.acquire() as connection:
        opened = connection.transaction()
        await opened.start()
        try:
            yield connection
        except (asyncio.CancelledError, TimeoutError):
            connection.terminate()
            raise
        except BaseException:
            await opened.rollback()
            raise
        await opened.commit()


def acting(principal: Principal) -> dict[str, str | bool | None]:
    """The values of `:identity`, `:organizations`, `:is_admin` and `:grants` in every query of a principal."""
    members = principal.organizations
    organizations = "*" if members is None else "{" + ",".join(sorted(map(str, members))) + "}"
    grants = None if principal.grants is None else principal.grants.to_json()
    return {
        "identity": principal.identity,
        "organizations": organizations,
        "is_admin": principal.is_admin,
        "grants": grants,
    }


def attributed(by: Principal | None) -> dict[str, str | None]:
    """The values of `:actor` and `:request_id`, for the audit trail. None: the process acts by itself."""
    return {"actor": None, "request_id": None} if by is None else {"actor": by.identity, "request_id": by.request_id}


@asynccontextmanager
async def acting_as(pool: Pool, principal: Principal) -> AsyncIterator[Connection]:
    """Open a transaction in which row-level security applies to `principal`, for writes of several statements."""
    async with transaction(pool) as connection:
        await connection.execute(*_SQL["acting_as"].bind(**acting(principal), request_id=principal.request_id))
        yield connection
