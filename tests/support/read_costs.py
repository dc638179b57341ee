"""Buffers that statements touch with generic plans, as sessions of the server make them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

FEW = 1_000
MANY = 1_000_000 if os.environ.get("AGENTHALL_TEST_LONG") else 100_000
"""AGENTHALL_TEST_LONG=1 compares a thousand rows with a million."""


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

    async def fetchval(self, query: str, *arguments: Any) -> Any:
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
