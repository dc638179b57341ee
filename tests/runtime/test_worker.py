"""A worker in this process, on a real queue: what it does when its leases, its database or its time run out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from live_server import GRAPHS, SAMPLES, until
from surroundings import Desk, open_desk

from robyn_server.core.ids import new_id
from robyn_server.core.principal import LOCAL
from robyn_server.core.runs import END
from robyn_server.graphs.checkpoints import Checkpoints
from robyn_server.graphs.loading import Graphs
from robyn_server.runtime.worker import Worker, WorkerOptions
from robyn_server.storage.runs import RunQueue

LONG = {"until": 1000, "delay": 0.05}


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    async with open_desk(database) as desk:
        yield desk


@pytest.fixture
async def hire(desk: Desk) -> AsyncIterator[Callable[..., Any]]:
    """Makes a worker, started; `queue` may be one that is broken on purpose."""
    async with AsyncExitStack() as closing:
        checkpoints = Checkpoints(desk.url, size=2)
        await checkpoints.start()
        closing.push_async_callback(checkpoints.stop)

        def make(queue: RunQueue | None = None, worker_id: UUID | None = None, **changes: Any) -> Worker:
            given = {
                "slots": 8,
                "lease": timedelta(seconds=3),
                "run_timeout": 60.0,
                "event_ttl": timedelta(1),
                "drain": 0.0,
            }
            graphs = Graphs(GRAPHS | {"winding": f"{SAMPLES}:winding"}, "offline:demo")
            options = WorkerOptions(**given | changes)
            worker = Worker(queue or desk.queue, graphs, checkpoints, desk.url, options, worker_id)
            worker.start()
            closing.push_async_callback(worker.stop)
            return worker

        yield make


async def _running(desk: Desk, run_id: UUID, attempt: int = 1) -> bool:
    row = await desk.run(run_id)
    return row["status"] == "running" and row["attempt"] == attempt


async def _updates(desk: Desk, run_id: UUID) -> list[Any]:
    return [json.loads(row["data"]) for row in await desk.events(run_id) if row["event"] == "updates"]


async def _steps(desk: Desk, run_id: UUID) -> list[int]:
    return [update["step"]["count"] for update in await _updates(desk, run_id)]


async def test_runs_are_executed_and_their_ends_are_committed(desk: Desk, hire: Callable[..., Worker]) -> None:
    hire()
    runs = [await desk.enqueue(given={"text": "hello"}) for _ in range(20)]
    for run_id in runs:
        await until(lambda at=run_id: desk.is_ended(at))
        assert (await desk.run(run_id))["status"] == "success"
        assert [row["event"] for row in await desk.events(run_id)] == ["updates", END]


async def test_a_cancelled_run_stops_long_before_its_lease_is_renewed(desk: Desk, hire: Callable[..., Worker]) -> None:
    worker = hire(lease=timedelta(hours=1))
    run_id = await desk.enqueue(graph="counter", given=LONG)
    await until(lambda: _running(desk, run_id))
    row = await desk.run(run_id)
    assert await desk.runs.cancel(LOCAL, row["thread_id"], run_id, "interrupt") == "running"
    worker._told("cancel")
    await until(lambda: desk.is_ended(run_id), seconds=10)
    assert (await desk.run(run_id))["status"] == "interrupted"


async def test_a_run_that_takes_too_long_ends_in_a_timeout(desk: Desk, hire: Callable[..., Worker]) -> None:
    hire(run_timeout=0.3)
    run_id = await desk.enqueue(graph="counter", given=LONG)
    await until(lambda: desk.is_ended(run_id))
    assert (await desk.run(run_id))["status"] == "timeout"


async def test_a_run_of_its_own_that_comes_back_is_held_once_and_in_its_new_attempt(
    desk: Desk, hire: Callable[..., Worker]
) -> None:
    """As after a pause: its lease lapsed, it was rescued, and the same worker is given it again."""
    worker = hire()
    run_id = await desk.enqueue(graph="counter", given={"until": 12, "delay": 0.1})
    await until(lambda: _steps(desk, run_id))
    await desk.admin.execute("update agenthall.runs set lease_until = now() - interval '1 s' where run_id = $1", run_id)
    await desk.queue.rescue()
    worker._claims.wake()
    await until(lambda: _running(desk, run_id, attempt=2))
    assert len(worker._held) == 1
    await until(lambda: desk.is_ended(run_id))
    row = await desk.run(run_id)
    assert (row["status"], row["attempt"]) == ("success", 2)
    assert sorted(set(await _steps(desk, run_id))) == list(range(1, 13))
    values = await desk.admin.fetchval('select "values" from agenthall.threads where thread_id = $1', row["thread_id"])
    assert json.loads(values)["seen"] == list(range(1, 13))


class _Unrenewed(RunQueue):
    """Renewals hang, as on a connection that is half open."""

    async def renew(self, worker_id, run_ids, lease):
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_worker_that_cannot_renew_stops_its_runs_before_others_may_have_them(
    desk: Desk, hire: Callable[..., Worker]
) -> None:
    lease = timedelta(seconds=1.5)
    worker = hire(_Unrenewed(desk.admin), lease=lease, slots=1)
    run_id = await desk.enqueue(graph="counter", given=LONG)
    await until(lambda: worker._held)
    (held,) = worker._held.values()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await until(lambda: held.task is not None and held.task.done())
    assert loop.time() - begun < lease.total_seconds() + 0.5
    assert held.stop.reason is None
    assert (await desk.run(run_id))["status"] in ("running", "pending")


async def test_a_drain_gives_back_also_what_the_worker_does_not_know_of(
    desk: Desk, hire: Callable[..., Worker]
) -> None:
    """A claim was committed, and its answer lost."""
    worker = hire(slots=1)
    known = await desk.enqueue(graph="counter", given=LONG)
    await until(lambda: _running(desk, known))
    unknown = await desk.enqueue()
    assert len(await desk.queue.claim(worker.id, 1, timedelta(hours=1), ["echo"])) == 1
    await worker.stop()
    for run_id in (known, unknown):
        row = await desk.run(run_id)
        assert (row["status"], row["ready"], row["max_attempts"]) == ("pending", True, 4)


async def test_what_a_run_said_before_it_was_given_back_is_not_lost(desk: Desk, hire: Callable[..., Worker]) -> None:
    first = hire()
    run_id = await desk.enqueue(graph="counter", given={"until": 12, "delay": 0.05})
    await until(lambda: _steps(desk, run_id))
    await first.stop()
    hire()
    await until(lambda: desk.is_ended(run_id))
    assert await _steps(desk, run_id) == list(range(1, 13))


async def test_a_run_that_is_stopped_while_it_decides_how_to_go_on_goes_on(
    desk: Desk, hire: Callable[..., Worker]
) -> None:
    """LangGraph keeps what the step has written so far, and takes it for a finished one that nothing follows (its issue 8834)."""
    kwargs = {"input": {"until": 4, "delay": 0.3}, "stream_mode": ["updates", "custom"], "durability": "sync"}
    run_id = await desk.enqueue(graph="winding", kwargs=kwargs)
    for step in (1, 2):
        worker = hire()
        await until(lambda at=step: _has_step(desk, run_id, at))
        await worker.stop()
    hire()
    await until(lambda: desk.is_ended(run_id))
    row = await desk.run(run_id)
    assert (row["status"], row["attempt"]) == ("success", 3)
    assert [each["count"]["count"] for each in await _updates(desk, run_id)] == [1, 2, 3, 4]
    values = await desk.admin.fetchval('select "values" from agenthall.threads where thread_id = $1', row["thread_id"])
    assert json.loads(values)["seen"] == [1, 2, 3, 4]


async def _has_step(desk: Desk, run_id: UUID, step: int) -> bool:
    return len(await _updates(desk, run_id)) >= step


async def test_a_worker_rescues_the_runs_of_one_that_is_gone(desk: Desk, hire: Callable[..., Worker]) -> None:
    run_id = await desk.enqueue(given={"text": "hello"})
    await desk.queue.claim(new_id(), 1, timedelta(0), ["echo"])
    hire(lease=timedelta(seconds=0.6))
    await until(lambda: desk.is_ended(run_id))
    row = await desk.run(run_id)
    assert (row["status"], row["attempt"]) == ("success", 2)


async def test_who_takes_the_place_of_a_dead_worker_goes_on_with_its_runs_at_once(
    desk: Desk, hire: Callable[..., Worker]
) -> None:
    place, elsewhere = new_id(), new_id()
    on, off = await desk.enqueue(given={"text": "on"}), await desk.enqueue(max_attempts=1)
    await desk.queue.claim(place, 2, timedelta(hours=1), ["echo"])
    another = await desk.enqueue(given={"text": "another's"})
    await desk.queue.claim(elsewhere, 1, timedelta(hours=1), ["echo"])
    hire(worker_id=place, lease=timedelta(hours=1))
    await until(lambda: desk.is_ended(on), seconds=10)
    rows = {name: await desk.run(run_id) for name, run_id in {"on": on, "off": off, "another": another}.items()}
    assert (rows["on"]["status"], rows["on"]["attempt"]) == ("success", 2)
    assert rows["off"]["status"] == "error" and "WorkerLost" in rows["off"]["error"]
    assert (rows["another"]["status"], rows["another"]["worker_id"]) == ("running", elsewhere)


async def test_a_thread_deleted_under_its_run_keeps_nothing_of_it(desk: Desk, hire: Callable[..., Worker]) -> None:
    worker = hire()
    run_id = await desk.enqueue(graph="counter", given={"until": 1000, "delay": 0.01})
    await until(lambda: _steps(desk, run_id))
    thread_id = (await desk.run(run_id))["thread_id"]
    await desk.admin.execute("delete from agenthall.threads where thread_id = $1", thread_id)
    await until(lambda: not worker._held)
    left = await desk.admin.fetchval("select count(*) from langgraph.checkpoints where thread_id = $1", str(thread_id))
    assert left == 0
    assert (await desk.events(run_id))[-1]["event"] == END


async def test_a_worker_takes_no_more_than_its_slots(desk: Desk, hire: Callable[..., Worker]) -> None:
    worker = hire(slots=2)
    for _ in range(5):
        await desk.enqueue(graph="counter", given=LONG)
    await until(lambda: len(worker._held) == 2)
    worker._claims.wake()
    running = "select count(*) from agenthall.runs where status = 'running'"
    counts = worker._claims.counts.runs
    await until(lambda: worker._claims.counts.runs > counts)
    assert await desk.admin.fetchval(running) == 2
