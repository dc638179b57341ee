"""What stands between us and the database: nothing, a pooler that lends a session for as long as we are connected, or one that lends
it for a transaction only (PgBouncer and Supavisor in transaction mode, Supabase's port 6543).

Rules
  1. Our roles are settings of a session, and row-level security follows the role: through a transaction pooler a role would be set for
     one statement and miss the next, or be left to somebody else's. So whoever works as a role, listens, or holds a session's lock is refused.
  2. The catalogue is read as the login itself: that works through any pooler, when nothing is prepared and nothing is set.
  3. A backend's number tells: a pooler invents the one that it greets with; and only one that lends for a transaction gives two
     idle clients the same backend, or one client two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import asyncpg

from robyn_server.core.dsn import without_password
from robyn_server.core.errors import Misconfigured

ASK_SECONDS = 5.0
_ROUNDS = 3


class Pooling(StrEnum):
    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"

    def ensure_session(self, dsn: str) -> None:
        """Raises Misconfigured for a transaction pooler."""
        if self is Pooling.TRANSACTION:
            raise Misconfigured(
                f"{without_password(dsn)} is a transaction pooler: it lends a session for one transaction only, so neither our roles, "
                "which row-level security follows, nor LISTEN would last. Use the direct connection or a session pooler "
                "(at Supabase both have port 5432, the transaction pooler 6543)",
                field="DATABASE_URL",
            )


async def pooling_of(connection: asyncpg.Connection[Any], dsn: str) -> Pooling:
    """`connection` is one to `dsn`, idle, and stays so. Raises what the driver raises."""
    first = await _backend(connection)
    if first == connection.get_server_pid():
        return Pooling.NONE
    other = await asyncpg.connect(dsn, timeout=ASK_SECONDS, statement_cache_size=0)
    try:
        return await _compared(first, connection, other)
    finally:
        await other.close()


async def _compared(first: int, one: asyncpg.Connection[Any], other: asyncpg.Connection[Any]) -> Pooling:
    """One is asked twice in a row: two that take turns at a pool of two would each find the same backend again and again."""
    for _ in range(_ROUNDS):
        backends = {first, await _backend(one), await _backend(one)}
        if len(backends) > 1 or await _backend(other) in backends:
            return Pooling.TRANSACTION
    return Pooling.SESSION


async def _backend(connection: asyncpg.Connection[Any]) -> int:
    number: int = await connection.fetchval("select pg_backend_pid()", timeout=ASK_SECONDS)
    return number
