"""Metrics of the queue: counts and ages of pending and running runs. Indexes keep them independent of ended runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from run_storage import LEASE, RunStorage, ended_run, new_run, open_run_storage

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.ids import new_id
from robyn_server.storage.postgres.queries import load
from robyn_server.storage.runs.queue import QueueState

_ENDED = """
insert into agenthall.threads (thread_id, owner_id, status)
select lpad(to_hex(n), 32, '0')::uuid, 'somebody', 'idle' from generate_series(1, 4000) n;
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status)
select t.thread_id, t.thread_id, t.thread_id, 1, 'echo', 'somebody', '{}', false, 'success' from agenthall.threads t;
"""


@pytest.fixture
async def storage(database: str) -> AsyncIterator[RunStorage]:
    async with open_run_storage(database, size=2) as opened:
        yield opened


async def _age(storage: RunStorage, run_id: UUID, seconds: int) -> None:
    await storage.admin.execute(
        "update agenthall.runs set run_at = clock_timestamp() - make_interval(secs => $2) where run_id = $1",
        run_id,
        seconds,
    )


async def test_an_empty_queue_has_no_waits(storage: RunStorage) -> None:
    assert await storage.queue.state() == QueueState(0, 0, None, None, None)


async def test_runs_that_wait_for_their_thread_are_counted_too(storage: RunStorage) -> None:
    busy, other = new_id(), new_id()
    runs = [new_run(busy), new_run(busy), new_run(busy), new_run(other), new_run(new_id(), after=timedelta(hours=1))]
    for run in runs:
        await storage.runs.enqueue(LOCAL, run)
    for run, seconds in zip(runs, (10, 40, 30, 20), strict=False):
        await _age(storage, run.run_id, seconds)
    state = await storage.queue.state()
    assert (state.pending, state.running) == (5, 0)
    assert state.longest_wait == pytest.approx(40, abs=5)
    assert state.median_wait == pytest.approx(20, abs=5)
    assert state.longest_unblocked_wait == pytest.approx(20, abs=5)
    (claimed,) = await storage.queue.claim(new_id(), 1, LEASE, ["echo"])
    assert claimed.waited == pytest.approx(20, abs=5)
    assert (await storage.queue.state()).running == 1


async def test_what_has_ended_is_not_counted(storage: RunStorage) -> None:
    worker = new_id()
    await storage.runs.enqueue(LOCAL, new_run(new_id()))
    (claimed,) = await storage.queue.claim(worker, 1, LEASE, ["echo"])
    await storage.queue.flush(worker, [], [ended_run(claimed)])
    assert await storage.queue.state() == QueueState(0, 0, None, None, None)


@pytest.mark.parametrize("analysed", [True, False])
async def test_no_table_is_read_as_a_whole(storage: RunStorage, analysed: bool) -> None:
    await storage.admin.execute("alter table agenthall.runs set (autovacuum_enabled = off)")
    await storage.admin.execute(_ENDED)
    await storage.runs.enqueue(LOCAL, new_run(new_id()))
    if analysed:
        await storage.admin.execute("analyze agenthall.runs")
    plan = await storage.admin.fetch("explain " + load("runs/queue")["state"].sql)
    text = "\n".join(line[0] for line in plan)
    assert "Seq Scan" not in text, text
