"""Bytes of tables and threads, measured with a bounded number of pages."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from run_storage import RunStorage

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.ids import new_id
from robyn_server.storage.operations.disk_usage import DiskUsage

_CHECKPOINT = """
insert into langgraph.checkpoints (thread_id, checkpoint_id, checkpoint) values ($1, '1', '{"channel_versions": {}}')"""
_BLOBS = """
insert into langgraph.checkpoint_blobs (thread_id, channel, version, type, blob)
select $1, 'messages', n::text, 'json', decode(string_agg(md5(n::text || i::text), ''), 'hex')
  from generate_series(1, $2::integer) n, generate_series(1, 64) i group by n"""
_WRITE = """
insert into langgraph.checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, type, blob)
values ($1, '1', 'task', 0, 'messages', 'json', repeat('x', 100)::bytea)"""


async def _fill(storage: RunStorage, thread: UUID | str, blobs: int) -> None:
    for statement, arguments in ((_CHECKPOINT, ()), (_BLOBS, (blobs,)), (_WRITE, ())):
        await storage.admin.execute(statement, str(thread), *arguments)


async def _thread(storage: RunStorage, blobs: int, principal: Principal = LOCAL) -> UUID:
    thread = new_id()
    await storage.threads.create(principal, thread, {}, None)
    await _fill(storage, thread, blobs)
    return thread


async def test_the_largest_threads_come_first_with_what_they_take(storage: RunStorage) -> None:
    small, large = await _thread(storage, 2), await _thread(storage, 30, Principal("anna"))
    await _fill(storage, "left behind", 10)
    largest = await DiskUsage(storage.system).list_largest_threads(10)
    assert not largest.is_sampled
    assert [each.thread_id for each in largest.threads] == [str(large), "left behind", str(small)]
    first = largest.threads[0]
    assert (first.owner_id, first.checkpoints, first.blobs, first.writes) == ("anna", 1, 30, 1)
    assert 30 * 1024 <= first.blob_bytes < 31 * 1024
    assert first.total_bytes == first.checkpoint_bytes + first.blob_bytes + first.write_bytes + first.event_bytes
    assert largest.threads[1].owner_id is None
    assert [each.thread_id for each in (await DiskUsage(storage.system).list_largest_threads(1)).threads] == [
        str(large)
    ]


async def test_events_of_a_thread_are_counted(storage: RunStorage) -> None:
    thread = await _thread(storage, 1)
    run = await storage.enqueue(thread)
    await storage.admin.execute(
        "insert into agenthall.run_events (run_id, seq, attempt, event, data) values ($1, 1, 1, 'values', repeat('x', 500))",
        run,
    )
    (usage,) = (await DiskUsage(storage.system).list_largest_threads(10)).threads
    assert 500 <= usage.event_bytes < 520


async def test_large_tables_are_sampled(storage: RunStorage) -> None:
    """Blobs of 1 kB lie in the table itself: seven on a page."""
    large = await _thread(storage, 1500)
    for _ in range(20):
        await _thread(storage, 10)
    largest = await DiskUsage(storage.system).list_largest_threads(3, pages=60)
    assert largest.is_sampled
    assert largest.threads[0].thread_id == str(large)
    assert largest.threads[0].blobs == 1500, "it is measured, not estimated"


async def test_tables_are_listed_with_their_bytes(storage: RunStorage) -> None:
    await _thread(storage, 200)
    await storage.admin.execute("analyze langgraph.checkpoint_blobs")
    tables = await DiskUsage(storage.system).list_tables()
    by_name = {each.name: each for each in tables}
    assert {"agenthall.runs", "agenthall.run_events", "mcp.agent_instances", "langgraph.checkpoints"} <= by_name.keys()
    blobs = by_name["langgraph.checkpoint_blobs"]
    assert blobs.rows == 200
    assert blobs.table_bytes > 200 * 1024 and blobs.index_bytes > 0
    assert [each.total_bytes for each in tables] == sorted((each.total_bytes for each in tables), reverse=True)


async def test_an_owner_sees_what_its_thread_takes(storage: RunStorage) -> None:
    anna, bert = Principal("anna"), Principal("bert")
    thread = await _thread(storage, 3, anna)
    shown: dict[str, Any] = json.loads(await storage.threads.find_storage(anna, thread) or "")
    assert list(shown) == ["thread_id", "total_bytes", "checkpoints", "channel_values", "pending_writes"]
    assert shown["channel_values"]["by_channel"] == {
        "messages": {"versions": 3, "bytes": shown["channel_values"]["bytes"]}
    }
    parts = ("checkpoints", "channel_values", "pending_writes")
    assert [shown[part]["count"] for part in parts] == [1, 3, 1]
    assert shown["total_bytes"] == sum(shown[part]["bytes"] for part in parts)
    assert await storage.threads.find_storage(bert, thread) is None
    assert await storage.threads.find_storage(LOCAL, thread) is not None
