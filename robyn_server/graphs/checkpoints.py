"""Checkpoints: LangGraph's own tables, in schema `langgraph`, through psycopg. They are the only truth about a thread's state.

One saver for each run, over one shared pool: a shared saver holds a lock around every statement and so serialises all runs.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # a checkpoint never imports what it likes

import psycopg
import structlog
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from robyn_server.core.errors import Unavailable

_LOCK = 0x6C616E6767726170  # "langgrap"
_GRANT = "grant select, insert, update, delete on all tables in schema langgraph to agenthall_system"
_log = structlog.get_logger(__name__)


class Checkpoints:
    """Owns the pool. `start()` before use, `stop()` after."""

    def __init__(self, dsn: str, *, size: int) -> None:
        self._dsn = dsn
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=size,
            open=False,
            timeout=30,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": 0,
                "options": "-c search_path=langgraph -c role=agenthall_system",
                "application_name": "agenthall checkpoints",
            },
        )

    async def start(self) -> None:
        """Makes LangGraph's tables where they are missing, and opens the pool. Raises Unavailable when it cannot."""
        try:
            await set_up(self._dsn)
            await self._pool.open(wait=True, timeout=30)
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise Unavailable("The database of checkpoints cannot be reached; try again") from error

    async def stop(self) -> None:
        await self._pool.close()

    def saver(self) -> AsyncPostgresSaver:
        return AsyncPostgresSaver(self._pool)


async def set_up(dsn: str) -> None:
    """LangGraph's migrations, under a polled try-lock: its CREATE INDEX CONCURRENTLY waits for every session that waits for a lock."""
    connect = psycopg.AsyncConnection.connect(
        dsn, autocommit=True, row_factory=dict_row, prepare_threshold=None, options="-c search_path=langgraph"
    )
    async with await connect as connection:
        if await _is_set_up(connection):
            return
        while not await _value(connection, "select pg_try_advisory_lock(%s) as v", _LOCK):
            await asyncio.sleep(0.1)
        try:
            await AsyncPostgresSaver(connection).setup()
            await connection.execute(_GRANT)
        finally:
            await connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


async def _is_set_up(connection: psycopg.AsyncConnection[Any]) -> bool:
    if await _value(connection, "select to_regclass('langgraph.checkpoint_migrations') as v") is None:
        return False
    newest = await _value(connection, "select max(v) as v from langgraph.checkpoint_migrations")
    return newest is not None and newest >= len(AsyncPostgresSaver.MIGRATIONS) - 1


async def _value(connection: psycopg.AsyncConnection[Any], query: Any, *arguments: object) -> Any:
    row = await (await connection.execute(query, arguments)).fetchone()
    return row["v"] if row else None
