"""Connections that come back to their pool, whatever became of whoever had them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from live_server import until

from robyn_server.storage.database import Role, open_pool

NAME = "test of pools"
_BUSY = (
    "select count(*) from pg_stat_activity where application_name = $1 and (state <> 'idle' or xact_start is not null)"
)


async def test_who_is_cancelled_between_preparing_and_executing_leaves_no_transaction_behind(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, prepare = asyncio.Event(), asyncpg.Connection._get_statement

    async def and_no_further(*arguments: Any, **options: Any) -> None:
        await prepare(*arguments, **options)
        prepared.set()
        await asyncio.Event().wait()

    pool = await open_pool(database, Role.SYSTEM, size=1, name=NAME)
    watcher = await asyncpg.connect(database)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(asyncpg.Connection, "_get_statement", and_no_further)
            asked = asyncio.create_task(pool.fetchval("select count(*) + $1::int from agenthall.runs", 1))
            await prepared.wait()
        assert await watcher.fetchval(_BUSY, NAME) == 1, "PostgreSQL waits for more"
        asked.cancel()
        await asyncio.wait([asked])
        await until(lambda: _is_idle(watcher), seconds=10)
        assert await pool.fetchval("select count(*) + $1::int from agenthall.runs", 1) == 1
    finally:
        await watcher.close()
        await pool.close()


async def _is_idle(watcher: Any) -> bool:
    return bool(await watcher.fetchval(_BUSY, NAME) == 0)


async def test_a_connection_that_was_used_well_costs_no_round_trip_when_it_comes_back(database: str) -> None:
    pool = await open_pool(database, Role.SYSTEM, size=1, name=NAME)
    try:
        async with pool.acquire() as connection:
            assert await connection.fetchval("select 1") == 1
            assert connection.get_reset_query() == ""
    finally:
        await pool.close()
