"""Buffers that statements touch with generic plans, as sessions of the server make them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

FEW = 1_000
MANY = 1_000_000 if os.environ.get("AGENTHALL_TEST_LONG") else 100_000
"""AGENTHALL_TEST_LONG=1 compares a thousand rows with a million."""


async def fill(connection: Any, script: str, *arguments: Any) -> None:
    """Execute a statement that writes or vacuums many rows: half an hour is enough for a million on a busy machine.

    Pools of the server wait a minute.
    """
    await connection.execute(script, *arguments, timeout=1800)


async def load(pool: Any, script: str, *arguments: Any, triggers: bool = True) -> None:
    """Fill a database of the test's own with a statement that writes many rows, and bring its statistics up to date.

    Indexes are built when the rows are there, in less than half of the time. Without `triggers`, foreign keys are
    not checked either.
    """
    async with pool.acquire() as connection:
        indexes = await connection.fetch(_INDEXES)
        await connection.execute(";".join(f"drop index {each['name']}" for each in indexes))
        await connection.execute(f"set session_replication_role = {'origin' if triggers else 'replica'}")
        await fill(connection, script, *arguments)
        await connection.execute("reset session_replication_role")
        await fill(connection, ";".join(each["definition"] for each in indexes))
        # also for the pending lists of GIN indexes, which a search reads from end to end
        await fill(connection, "vacuum analyze")


_INDEXES = """
select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
  from pg_index i join pg_class c on c.oid = i.indexrelid
 where c.relnamespace in ('agenthall'::regnamespace, 'mcp'::regnamespace) and not i.indisunique
"""
"""Nothing depends on those that are not unique."""


class CountingPool:
    """Runs the statements of a storage class on one connection, and counts the buffers that they touch."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.buffers = 0
        self.statements = 0

    async def fetch(self, query: str, *arguments: Any, **_options: Any) -> Any:
        await self._count(query, arguments)
        return await self._connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        await self._count(query, arguments)
        return await self._connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any, **_options: Any) -> Any:
        await self._count(query, arguments)
        return await self._connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> Any:
        await self._count(query, arguments)
        return await self._connection.execute(query, *arguments)

    async def _count(self, query: str, arguments: Iterable[Any]) -> None:
        self.buffers += await touched(self._connection, query, *arguments)
        self.statements += 1


async def touched(connection: Any, query: str, *arguments: Any) -> int:
    """Buffers that the query's generic plan reads."""
    root = await executed_plan(connection, query, *arguments)
    return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])


async def executed_plan(connection: Any, query: str, *arguments: Any) -> Any:
    """The query's generic plan, with what it read, as EXPLAIN prints it in JSON.

    EXPLAIN of a query with parameters would show a plan for their values.
    """
    await connection.execute(f"prepare asked as {query}")
    try:
        given = f"({', '.join(map(_literal, arguments))})" if arguments else ""
        await connection.fetchval(f"explain (analyze, timing off) execute asked{given}")  # fills caches of the session
        plan = await connection.fetchval(f"explain (analyze, buffers, timing off, format json) execute asked{given}")
    finally:
        await connection.execute("deallocate asked")
    return json.loads(plan)[0]["Plan"]


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        value = "{" + ",".join(f'"{each}"' for each in value) + "}"
    quoted = str(value).replace("'", "''")
    return f"'{quoted}'"
