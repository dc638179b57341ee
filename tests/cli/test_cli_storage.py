"""`agenthall storage` as a process, on a database beside which no server runs."""

from __future__ import annotations

import json
from uuid import UUID

import asyncpg
from commands.command_line import agenthall

from robyn_server.cli.operator.byte_sizes import format_bytes

THREAD = UUID(int=7)


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("insert into agenthall.threads (thread_id, owner_id) values ($1, 'anna')", THREAD)
    await connection.execute(
        "insert into langgraph.checkpoint_blobs (thread_id, channel, version, type, blob)"
        " select $1, 'messages', n::text, 'json', decode(string_agg(md5(n::text || i::text), ''), 'hex')"
        " from generate_series(1, 20) n, generate_series(1, 64) i group by n",
        str(THREAD),
    )
    await connection.close()


async def test_tables_and_the_largest_threads_are_shown(database: str) -> None:
    await _fill(database)
    said = agenthall("storage", DATABASE_URL=database)
    assert said.returncode == 0, said.stderr
    tables, _, threads = said.stdout.partition("The largest threads (all were measured):")
    assert "langgraph.checkpoint_blobs" in tables and "rows (estimate)" in tables
    line = next(line for line in threads.splitlines() if str(THREAD) in line)
    assert "20: 20.6 kB" in line and "anna" in line


async def test_the_same_is_there_for_programs(database: str) -> None:
    await _fill(database)
    said = agenthall("storage", "--output", "json", "--threads", "1", DATABASE_URL=database)
    shown = json.loads(said.stdout)
    assert shown["threads_are_sampled"] is False
    (thread,) = shown["threads"]
    assert (thread["thread_id"], thread["blobs"], thread["checkpoints"]) == (str(THREAD), 20, 0)
    assert {"name", "rows", "table_bytes", "index_bytes", "total_bytes"} == shown["tables"][0].keys()


async def test_a_database_without_a_schema_is_refused(empty_database: str) -> None:
    said = agenthall("storage", DATABASE_URL=empty_database)
    assert said.returncode == 2
    assert "run `agenthall migrate`" in said.stderr


def test_bytes_are_written_for_people() -> None:
    assert [format_bytes(each) for each in (0, 999, 1000, 34_000_000, 5e12)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "34.0 MB",
        "5000.0 GB",
    ]
