"""A list ends at the row with which it is larger than the session's agenthall.max_answer_bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from databases import fresh_database
from read_costs import fill
from run_storage import RunStorage, open_run_storage

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import TooLarge
from robyn_server.storage.assistants import AssistantFilter, Assistants
from robyn_server.storage.runs.runs import Runs
from robyn_server.storage.threads import ThreadFilter, Threads

ROWS = 60
KILOBYTES = 100
SOMEBODY = Principal("somebody")
THREAD = UUID(int=1)
NOUNS = ("threads", "assistants", "runs")

# Random hexadecimal digits are not compressed away, so each row is read in pieces of 2 kB from the table's TOAST.
_FILL = f"""
create function pg_temp.id(n bigint) returns uuid language sql immutable as $$ select lpad(to_hex(n), 32, '0')::uuid $$;
create function pg_temp.long(n bigint) returns text language sql as $$
  select string_agg(encode(sha256((n || ' ' || i)::bytea), 'hex'), '') from generate_series(1, {KILOBYTES * 16}) i $$;
insert into agenthall.threads (thread_id, owner_id, status, metadata)
select pg_temp.id(n), 'somebody', 'idle', jsonb_build_object('long', pg_temp.long(n)) from generate_series(1, {ROWS}) n;
insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility, metadata)
select pg_temp.id(n), 'agent', 'name', 'somebody', 'private', jsonb_build_object('long', pg_temp.long(n))
  from generate_series(1, {ROWS}) n;
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status)
select pg_temp.id(n), pg_temp.id(1), pg_temp.id(1), 1, 'agent', 'somebody',
       jsonb_build_object('long', pg_temp.long(n)), false, 'success' from generate_series(1, {ROWS}) n;
analyze;
"""


@pytest.fixture(scope="module")
async def long_rows(postgres: str, template: str) -> AsyncIterator[RunStorage]:
    async with fresh_database(postgres, template) as url, open_run_storage(url, size=2) as storage:
        await fill(storage.admin, _FILL)
        yield storage


async def _ask(connection: Any, noun: str, limit: int, select: list[str] | None = None, **where: Any) -> str:
    if noun == "threads":
        page = await Threads(connection).search(SOMEBODY, ThreadFilter(**where), limit=limit, offset=0, select=select)
        return page.body
    if noun == "assistants":
        given = AssistantFilter(**where)
        return (await Assistants(connection).search(SOMEBODY, given, limit=limit, offset=0, select=select)).body
    return await Runs(connection).list(SOMEBODY, THREAD, status=None, limit=limit, offset=0, select=select)


async def _limit(connection: Any, limit: int | None) -> None:
    await connection.execute(f"set agenthall.max_answer_bytes = '{'' if limit is None else limit}'")


@pytest.mark.parametrize("noun", NOUNS)
async def test_an_answer_as_large_as_the_limit_is_given_and_a_larger_one_is_refused(
    long_rows: RunStorage, noun: str
) -> None:
    async with long_rows.app.acquire() as connection:
        await _limit(connection, None)
        rows = await _ask(connection, noun, 3)
        assert len(json.loads(rows)) == 3
        size = len(rows.encode()) - len("[,,]")  # the punctuation of the array is not counted
        await _limit(connection, size)
        assert await _ask(connection, noun, 3) == rows
        await _limit(connection, size - 1)
        with pytest.raises(TooLarge) as refused:
            await _ask(connection, noun, 3)
        assert refused.value.code == "answer_too_large"
        assert str(size - 1) in refused.value.detail and "`limit`" in refused.value.detail
        key = "run_id" if noun == "runs" else f"{noun[:-1]}_id"
        assert len(json.loads(await _ask(connection, noun, ROWS, [key]))) == ROWS
        await _limit(connection, None)


@pytest.mark.parametrize("noun", NOUNS)
async def test_a_refused_answer_reads_no_rows_beyond_the_limit(long_rows: RunStorage, noun: str) -> None:
    async with long_rows.app.acquire() as connection:
        await _limit(connection, None)
        whole = await _toast_reads(long_rows, connection, noun, 0)
        await _limit(connection, 3 * 1024 * KILOBYTES)
        refused = await _toast_reads(long_rows, connection, noun, 1)
        await _limit(connection, None)
    assert whole >= KILOBYTES / 8 * ROWS
    assert 0 < refused < whole / 8


async def _toast_reads(storage: RunStorage, connection: Any, noun: str, refusals: int) -> int:
    """Blocks of the table's TOAST that the list of all rows reads."""
    before = await _counted(storage, connection, noun)
    try:
        await _ask(connection, noun, ROWS)
    except TooLarge:
        refusals -= 1
    assert refusals == 0
    return await _counted(storage, connection, noun) - before


async def _counted(storage: RunStorage, connection: Any, noun: str) -> int:
    await connection.execute("select pg_stat_force_next_flush()")
    return int(
        await storage.admin.fetchval(
            "select coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0) from pg_statio_all_tables"
            " where relid = format('agenthall.%s', $1::text)::regclass",
            noun,
        )
    )


@pytest.mark.parametrize("noun", ["threads", "assistants"])
async def test_a_search_by_rare_metadata_is_bounded_too(long_rows: RunStorage, noun: str) -> None:
    async with long_rows.app.acquire() as connection:
        await _limit(connection, 1024)
        rare = await long_rows.admin.fetchval(f"select metadata ->> 'long' from agenthall.{noun} limit 1")
        with pytest.raises(TooLarge):
            await _ask(connection, noun, 10, metadata={"long": rare})
        assert await _ask(connection, noun, 10, metadata={"long": "none"}) == "[]"
        await _limit(connection, None)
