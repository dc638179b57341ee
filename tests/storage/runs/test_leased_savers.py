"""Only the worker that holds a run writes its checkpoints. The database checks in the transaction of the write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from langgraph._internal._constants import ERROR, ERROR_SOURCE_NODE
from langgraph.checkpoint.base import empty_checkpoint
from run_storage import RunStorage, ended_run
from servers.live_server import until

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun
from robyn_server.graphs.checkpoints.saver import Checkpoints

WORKER = new_id()


@pytest.fixture
async def checkpoints(database: str) -> AsyncIterator[Checkpoints]:
    checkpoints = Checkpoints(database, size=2)
    await checkpoints.start()
    yield checkpoints
    await checkpoints.stop()


def _config(run: ClaimedRun) -> Any:
    return {"configurable": {"thread_id": str(run.thread_id), "checkpoint_ns": ""}}


async def _write(checkpoints: Checkpoints, run: ClaimedRun, worker: UUID = WORKER) -> None:
    """A checkpoint with a blob beside it, and a write of a task."""
    saver = checkpoints.with_lease(worker, run.run_id, run.attempt).saver()
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"seen": [1, 2]}
    checkpoint["channel_versions"] = {"seen": "1"}
    at = await saver.aput(_config(run), checkpoint, {}, {"seen": "1"})
    await saver.aput_writes(at, [("seen", [3])], "task")


async def _written(storage: RunStorage, run: ClaimedRun) -> list[int]:
    tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    count = "select count(*) from langgraph.{} where thread_id = $1"
    return [await storage.fetch_value(count.format(table), str(run.thread_id)) for table in tables]


async def test_whoever_holds_the_run_writes(storage: RunStorage, checkpoints: Checkpoints) -> None:
    run = await storage.claim_new_run(WORKER)
    await _write(checkpoints, run)
    assert await _written(storage, run) == [1, 1, 1]
    found = await checkpoints.saver().aget_tuple(_config(run))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"seen": [1, 2]}


@pytest.mark.parametrize(
    ("writes", "kept"),
    [
        ([("count", 2), ("branch:to:step", None)], ["count", "branch:to:step"]),
        ([("count", 2), (ERROR, ValueError("lost"))], [ERROR]),
        ([("count", 2), (ERROR, asyncio.CancelledError())], [ERROR]),
        ([("count", 2), (ERROR, ValueError("lost")), (ERROR_SOURCE_NODE, "step")], [ERROR, "count", ERROR_SOURCE_NODE]),
    ],
    ids=["finished", "failed", "cancelled", "failed, and its handler goes on"],
)
async def test_of_a_task_that_was_not_finished_only_its_failure_is_kept(
    storage: RunStorage, checkpoints: Checkpoints, writes: Any, kept: list[str]
) -> None:
    run = await storage.claim_new_run(WORKER)
    saver = checkpoints.with_lease(WORKER, run.run_id, run.attempt).saver()
    at = await saver.aput(_config(run), empty_checkpoint(), {}, {})
    await saver.aput_writes(at, writes, "task")
    found = await checkpoints.saver().aget_tuple(_config(run))
    assert found is not None
    assert [channel for _, channel, _ in found.pending_writes or ()] == kept


async def test_a_worker_whose_run_was_rescued_writes_nothing(storage: RunStorage, checkpoints: Checkpoints) -> None:
    run = await storage.claim_new_run(WORKER)
    await storage.expire_leases(run.run_id)
    await storage.queue.rescue()
    with pytest.raises(Conflict):
        await _write(checkpoints, run)
    (again,) = await storage.claim(WORKER)
    with pytest.raises(Conflict):
        await _write(checkpoints, run)
    assert await _written(storage, run) == [0, 0, 0]
    await _write(checkpoints, again)
    assert await _written(storage, run) == [1, 1, 1]


async def test_nobody_writes_for_a_run_that_ended_or_was_deleted(storage: RunStorage, checkpoints: Checkpoints) -> None:
    over, deleted = await storage.claim_new_run(WORKER), await storage.claim_new_run(WORKER)
    await _write(checkpoints, deleted)
    await storage.queue.flush(WORKER, [], [ended_run(over)])
    await storage.threads.delete(LOCAL, deleted.thread_id)
    for run in (over, deleted):
        with pytest.raises(Conflict):
            await _write(checkpoints, run)
        assert await _written(storage, run) == [0, 0, 0]


async def test_a_pool_whose_connections_were_all_cut_goes_on(storage: RunStorage, checkpoints: Checkpoints) -> None:
    run = await storage.claim_new_run(WORKER)
    await asyncio.gather(*(_write(checkpoints, run) for _ in range(4)))
    cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'agenthall checkpoints' and datname = current_database()"
    assert await storage.fetch_value(cut) >= 1
    await _write(checkpoints, run)
    assert await checkpoints.saver().aget_tuple(_config(run)) is not None


async def test_a_write_under_way_is_not_overtaken_by_a_rescue(
    storage: RunStorage, checkpoints: Checkpoints, database: str
) -> None:
    """The assertion holds the run until the write is committed: a rescue looks again later."""
    run = await storage.claim_new_run(WORKER)
    await storage.expire_leases(run.run_id)
    async with await psycopg.AsyncConnection.connect(database) as writing:
        await writing.execute("select agenthall.assert_lease(%s, %s, %s)", (WORKER, run.run_id, run.attempt))
        assert await storage.queue.rescue() == (0, 0)
        await writing.commit()
    assert await until(storage.queue.rescue) == (1, 0)
