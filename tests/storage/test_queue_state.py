"""What a scrape asks the queue: how many runs wait and run, and for how long; found by indexes, whatever has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from stored_runs import LEASE, Store, ended, new_run, open_store

from robyn_server.core.ids import new_id
from robyn_server.core.principal import LOCAL
from robyn_server.storage.queries import load
from robyn_server.storage.runs import QueueState

_ENDED = """
insert into agenthall.threads (thread_id, owner_id, status)
select lpad(to_hex(n), 32, '0')::uuid, 'somebody', 'idle' from generate_series(1, 4000) n;
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status)
select t.thread_id, t.thread_id, t.thread_id, 1, 'echo', 'somebody', '{}', false, 'success' from agenthall.threads t;
"""


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    async with open_store(database, size=2) as opened:
        yield opened


async def _age(store: Store, run_id: UUID, seconds: int) -> None:
    await store.admin.execute(
        "update agenthall.runs set run_at = clock_timestamp() - make_interval(secs => $2) where run_id = $1",
        run_id,
        seconds,
    )


async def test_an_empty_queue_has_no_waits(store: Store) -> None:
    assert await store.queue.state() == QueueState(0, 0, None, None, None)


async def test_runs_that_wait_for_their_thread_are_counted_too(store: Store) -> None:
    busy, other = new_id(), new_id()
    runs = [new_run(busy), new_run(busy), new_run(busy), new_run(other), new_run(new_id(), after=timedelta(hours=1))]
    for run in runs:
        await store.runs.enqueue(LOCAL, run)
    for run, seconds in zip(runs, (10, 40, 30, 20), strict=False):
        await _age(store, run.run_id, seconds)
    state = await store.queue.state()
    assert (state.pending, state.running) == (5, 0)
    assert state.longest_wait == pytest.approx(40, abs=5)
    assert state.median_wait == pytest.approx(20, abs=5)
    assert state.longest_unblocked_wait == pytest.approx(20, abs=5)
    (claimed,) = await store.queue.claim(new_id(), 1, LEASE, ["echo"])
    assert claimed.waited == pytest.approx(20, abs=5)
    assert (await store.queue.state()).running == 1


async def test_what_has_ended_is_not_counted(store: Store) -> None:
    worker = new_id()
    await store.runs.enqueue(LOCAL, new_run(new_id()))
    (claimed,) = await store.queue.claim(worker, 1, LEASE, ["echo"])
    await store.queue.flush(worker, [], [ended(claimed)])
    assert await store.queue.state() == QueueState(0, 0, None, None, None)


@pytest.mark.parametrize("analysed", [True, False])
async def test_no_table_is_read_as_a_whole(store: Store, analysed: bool) -> None:
    await store.admin.execute("alter table agenthall.runs set (autovacuum_enabled = off)")
    await store.admin.execute(_ENDED)
    await store.runs.enqueue(LOCAL, new_run(new_id()))
    if analysed:
        await store.admin.execute("analyze agenthall.runs")
    plan = await store.admin.fetch("explain " + load("runs")["state"])
    text = "\n".join(line[0] for line in plan)
    assert "Seq Scan" not in text, text
