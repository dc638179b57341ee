"""Detects a connection pooler in front of the database (PgBouncer, Supavisor), and its mode.

Rules
  1. The server's roles are session settings, and row-level security follows the role. A transaction pooler lends a
     session for one transaction only: a role could be lost between statements, or stay behind for another client. So it
     is refused for roles, LISTEN and session locks.
  2. The catalogue is read as the login itself. That works through any pooler if nothing is prepared and nothing is set.
  3. The number of the backend tells the mode. A pooler invents the number in its greeting. Only a transaction pooler
     gives two idle clients the same backend, or one client two backends.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import asyncpg

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.dsn import without_password

ASK_SECONDS = 5.0
_ROUNDS = 3


class PoolerMode(StrEnum):
    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"

    def ensure_session(self, dsn: str) -> None:
        """Raises Misconfigured for a transaction pooler."""
        if self is PoolerMode.TRANSACTION:
            raise Misconfigured(
                f"{without_password(dsn)} is a transaction pooler: it lends a session for one transaction only, so neither "
                "roles, which row-level security follows, nor LISTEN would last. Use the direct connection or a session "
                "pooler (at Supabase both have port 5432, the transaction pooler has 6543)",
                field="DATABASE_URL",
            )


async def detect_pooler(connection: asyncpg.Connection[Any], dsn: str) -> PoolerMode:
    """Detect the pooler behind `connection`, an idle connection to `dsn`. Raises the driver's errors."""
    first = await _backend(connection)
    if first == connection.get_server_pid():
        return PoolerMode.NONE
    other = await asyncpg.connect(dsn, timeout=ASK_SECONDS, statement_cache_size=0)
    try:
        return await _compared(first, connection, other)
    finally:
        await other.close()


async def _compared(first: int, one: asyncpg.Connection[Any], other: asyncpg.Connection[Any]) -> PoolerMode:
    # `one` is asked twice in a row: two clients that take turns at a pool of two would always find the same backends
    for _ in range(_ROUNDS):
        backends = {first, await _backend(one), await _backend(one)}
        if len(backends) > 1 or await _backend(other) in backends:
            return PoolerMode.TRANSACTION
    return PoolerMode.SESSION


async def _backend(connection: asyncpg.Connection[Any]) -> int:
    number: int = await connection.fetchval("select pg_backend_pid()", timeout=ASK_SECONDS)
    return number
