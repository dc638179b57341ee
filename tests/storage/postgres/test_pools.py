"""Connections return to their pool, also after cancelled and failed callers."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from servers.live_server import until

from robyn_server.storage.postgres import pools as storage
from robyn_server.storage.postgres.pools import Pool, Role, open_pool

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
        await until(lambda: _is_idle(watcher))
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


async def test_a_connection_that_is_lost_on_its_way_back_takes_no_answer_with_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await open_pool(database, Role.SYSTEM, size=1, name=NAME)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(storage._PooledConnection, "get_reset_query", lambda _: "select 1 / 0")
            lost = await pool.fetchval("select pg_backend_pid()")
        assert await pool.fetchval("select pg_backend_pid()") != lost
    finally:
        await pool.close()


async def test_plans_are_let_go_of_when_a_table_has_outgrown_them_and_not_before(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PLAN_CHECK_SECONDS", 0.0)
    more = (
        "insert into agenthall.threads (thread_id, owner_id) select gen_random_uuid(), 'x' from generate_series(1, $1)"
    )
    reported = "select pg_stat_get_live_tuples('agenthall.threads'::regclass) >= $1"
    pool = await open_pool(database, Role.SYSTEM, size=1, name=NAME)
    writer = await asyncpg.connect(database)
    try:
        assert not await _planned_for(pool)
        empty = await _planned_for(pool)
        assert empty
        await writer.execute(more, 90)
        await until(lambda: writer.fetchval(reported, 90))
        assert await _planned_for(pool) == await _planned_for(pool) == empty
        await writer.execute(more, 110)
        await until(lambda: writer.fetchval(reported, 200))
        await _planned_for(pool)
        assert await _planned_for(pool) != empty
    finally:
        await writer.close()
        await pool.close()


async def _planned_for(pool: Pool) -> Any:
    """Return the session's setting, which is read again when the connection returns to the pool."""
    return await pool.fetchval("select current_setting('agenthall.planned_for', true)")
