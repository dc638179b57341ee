"""A worker repeats a flush whose answer was lost, while the first one may still be running."""

from __future__ import annotations

import asyncio

from live_server import until
from run_storage import RunStorage, custom_event, deadlocks

from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun

_WAITING = """select count(*) from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock' and query like '%flush_runs%'"""
_INSERT = "insert into agenthall.run_events (run_id, seq, attempt, event, data) values ($1, 1, 1, 'held', '{}')"


async def test_two_flushes_of_the_same_events_in_other_orders_do_not_wait_for_each_other(storage: RunStorage) -> None:
    """Each flush waits in its middle for an event that a third transaction holds; then both go on at once."""
    worker = new_id()
    for _ in range(4):
        await storage.enqueue(new_id())
    first, second, held, also_held = sorted(await storage.claim(worker), key=lambda run: run.run_id)

    async def flush(*runs: ClaimedRun) -> None:
        await storage.queue.flush(worker, [custom_event(run, 1) for run in runs], [])

    async def both_wait() -> bool:
        return bool(await storage.fetch_value(_WAITING) == 2)

    async with storage.admin.acquire() as connection, asyncio.TaskGroup() as flushes:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(_INSERT, held.run_id)
        await connection.execute(_INSERT, also_held.run_id)
        flushes.create_task(flush(first, held, second))
        flushes.create_task(flush(second, also_held, first))
        await until(both_wait)
        await transaction.rollback()
    assert await deadlocks(storage.url) == 0
    for run in (first, second, held, also_held):
        assert await storage.get_events(run.run_id) == [(1, "custom")]
