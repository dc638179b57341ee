"""Flushes of several runs wait for others, and no one waits for them in a circle."""

from __future__ import annotations

import asyncio
from uuid import UUID

from run_storage import RunStorage, custom_event, deadlocks, new_run
from servers.live_server import until

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun

_WAITING = """select count(*) from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock' and query like $1"""
_INSERT = "insert into agenthall.run_events (run_id, seq, attempt, event, data) values ($1, 1, 1, 'held', '{}')"
_ASSISTANT = UUID(int=7)


async def _wait_for(storage: RunStorage, statement: str, count: int = 1) -> None:
    async def waits() -> bool:
        return bool(await storage.fetch_value(_WAITING, f"%{statement}%") == count)

    await until(waits)


async def _claim(storage: RunStorage, worker: UUID, *assistants: UUID) -> list[ClaimedRun]:
    """Claim a run of each assistant, on threads of their own, in the order of their ids."""
    for assistant in assistants:
        await storage.runs.enqueue(LOCAL, new_run(new_id(), assistant_id=assistant, max_attempts=1))
    return sorted(await storage.claim(worker), key=lambda run: run.run_id)


async def test_two_flushes_of_the_same_events_in_other_orders_do_not_wait_for_each_other(storage: RunStorage) -> None:
    """A flush whose answer was lost is repeated. Here each waits in its middle for an event of a third transaction."""
    worker = new_id()
    first, second, held, also_held = await _claim(storage, worker, *[_ASSISTANT] * 4)

    async def flush(*runs: ClaimedRun) -> None:
        await storage.queue.flush(worker, [custom_event(run, 1) for run in runs], [])

    async with storage.admin.acquire() as connection, asyncio.TaskGroup() as flushes:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(_INSERT, held.run_id)
        await connection.execute(_INSERT, also_held.run_id)
        flushes.create_task(flush(first, held, second))
        flushes.create_task(flush(second, also_held, first))
        await _wait_for(storage, "flush_runs", 2)
        await transaction.rollback()
    assert await deadlocks(storage.url) == 0
    for run in (first, second, held, also_held):
        assert await storage.get_events(run.run_id) == [(1, "custom")]


async def test_a_flush_and_the_deletion_of_its_threads_do_not_wait_for_each_other(storage: RunStorage) -> None:
    """The flush waits for the end of its first run and keeps that row locked.

    The deletion of two threads needs it, too.
    """
    worker = new_id()
    ended, other, last = await _claim(storage, worker, _ASSISTANT, UUID(int=8), _ASSISTANT)
    await storage.admin.execute(
        """insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility)
           values ($1, 'echo', 'echo', 'local', 'private')""",
        _ASSISTANT,
    )

    async def delete_with_threads() -> None:
        async with storage.assistants.transaction(LOCAL) as connection:
            await storage.assistants.delete(connection, _ASSISTANT, with_threads=True)

    async with (
        storage.admin.acquire() as ending,
        storage.admin.acquire() as holding,
        asyncio.TaskGroup() as tasks,
    ):
        end, hold = ending.transaction(), holding.transaction()
        await end.start()
        await hold.start()
        await ending.execute("update agenthall.runs set lease_until = now() where run_id = $1", ended.run_id)
        assert await ending.fetchval("select failed from agenthall.rescue_runs(10)") == 1
        await holding.execute("select from agenthall.runs where run_id = $1 for update", other.run_id)
        events = [custom_event(run, 1) for run in (ended, other, last)]
        tasks.create_task(storage.queue.flush(worker, events, []))
        await _wait_for(storage, "flush_runs")
        await end.commit()
        tasks.create_task(delete_with_threads())
        await _wait_for(storage, "thread_id = any", 1)
        await hold.rollback()
    assert await deadlocks(storage.url) == 0
    assert await storage.get_thread(ended.thread_id) is None
