"""A worker in this process, on a real queue: what it does when its leases, its database or its time run out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from deadlines import DEADLINE
from run_queue_database import RunQueueDatabase, open_run_queue_database
from servers.live_server import GRAPHS, SAMPLES, until
from structlog.testing import capture_logs

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.ids import new_id
from robyn_server.core.runs import END
from robyn_server.graphs.checkpoints.saver import Checkpoints
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.storage.postgres.pools import Pool, Role, open_pool
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.store.items import StoreItems
from robyn_server.worker.active_runs import Capacity
from robyn_server.worker.hosts.stores import RunStores
from robyn_server.worker.run_executor import RunEnvironment
from robyn_server.worker.worker import Worker, WorkerOptions

LONG = {"until": 1000, "delay": 0.05}


@pytest.fixture
async def queue_db(database: str) -> AsyncIterator[RunQueueDatabase]:
    async with open_run_queue_database(database) as queue_db:
        yield queue_db


@pytest.fixture
async def hire(queue_db: RunQueueDatabase) -> AsyncIterator[Callable[..., Any]]:
    """Makes a worker, started; `queue` may be one that is broken on purpose."""
    async with AsyncExitStack() as closing:
        checkpoints = Checkpoints(queue_db.url, size=2)
        await checkpoints.start()
        closing.push_async_callback(checkpoints.stop)

        def make(
            queue: RunQueue | None = None,
            worker_id: UUID | None = None,
            lease_queue: Callable[[Pool], RunQueue] = RunQueue,
            **changes: Any,
        ) -> Worker:
            given = {
                "capacity": Capacity(8, 8),
                "lease": timedelta(seconds=15),
                "run_timeout": 60.0,
                "stall": 60.0,
                "event_ttl": timedelta(1),
                "drain": 0.0,
            }
            graphs = Graphs(GRAPHS | {"winding": f"{SAMPLES}:winding"}, "offline:demo")
            options = WorkerOptions(**given | changes)
            open_lease_queue = partial(_lease_queue, queue_db.url, lease_queue)
            stores = RunStores(StoreItems(queue_db.admin), checkpoints.max_state_bytes)
            environment = RunEnvironment(graphs=graphs, checkpoints=checkpoints, stores=stores)
            worker = Worker(queue or queue_db.queue, environment, queue_db.url, options, open_lease_queue, worker_id)
            worker.start()
            closing.push_async_callback(worker.stop)
            return worker

        yield make


@asynccontextmanager
async def _lease_queue(url: str, kind: Callable[[Pool], RunQueue]) -> AsyncIterator[RunQueue]:
    pool = await open_pool(url, Role.SYSTEM, size=1, name="leases")
    try:
        yield kind(pool)
    finally:
        pool.terminate()


async def _running(queue_db: RunQueueDatabase, run_id: UUID, attempt: int = 1) -> bool:
    row = await queue_db.get_run(run_id)
    return row["status"] == "running" and row["attempt"] == attempt


async def _updates(queue_db: RunQueueDatabase, run_id: UUID) -> list[Any]:
    """The updates of a run, without those that a resumed run emitted again: LangGraph marks them `cached`."""
    updates: list[Any] = []
    for row in await queue_db.get_events(run_id):
        if row["event"] == "updates":
            update = json.loads(row["data"])
            is_cached = update.pop("__metadata__", None) == {"cached": True}
            if not (is_cached and update in updates[-1:]):
                updates.append(update)
    return updates


async def _steps(queue_db: RunQueueDatabase, run_id: UUID) -> list[int]:
    return [update["step"]["count"] for update in await _updates(queue_db, run_id)]


async def test_runs_are_executed_and_their_ends_are_committed(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    hire()
    runs = [await queue_db.enqueue(given={"text": "hello"}) for _ in range(20)]
    for run_id in runs:
        await until(lambda at=run_id: queue_db.is_ended(at))
        assert (await queue_db.get_run(run_id))["status"] == "success"
        assert [row["event"] for row in await queue_db.get_events(run_id)] == ["updates", END]


async def test_a_cancelled_run_stops_long_before_its_lease_is_renewed(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    worker = hire(lease=timedelta(hours=1))
    run_id = await queue_db.enqueue(graph="counter", given=LONG)
    await until(lambda: _running(queue_db, run_id))
    row = await queue_db.get_run(run_id)
    assert await queue_db.runs.cancel(LOCAL, row["thread_id"], run_id, "interrupt") == "running"
    worker._on_notify("cancel")
    await until(lambda: queue_db.is_ended(run_id))
    assert (await queue_db.get_run(run_id))["status"] == "interrupted"


async def test_the_connection_that_learns_of_cancellations_is_open_before_the_first_run(
    hire: Callable[..., Worker],
) -> None:
    worker = hire(lease=timedelta(hours=1))
    await until(lambda: worker._leases._queue is not None)


async def test_a_run_that_takes_too_long_ends_in_a_timeout(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    hire(run_timeout=0.3)
    run_id = await queue_db.enqueue(graph="counter", given=LONG)
    await until(lambda: queue_db.is_ended(run_id))
    assert (await queue_db.get_run(run_id))["status"] == "timeout"


async def test_a_run_of_its_own_that_comes_back_is_held_once_and_in_its_new_attempt(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    """As after a pause: its lease lapsed, it was rescued, and the same worker is given it again."""
    worker = hire()
    run_id = await queue_db.enqueue(graph="counter", given={"until": 12, "delay": 0.1})
    await until(lambda: _steps(queue_db, run_id))
    await queue_db.admin.execute(
        "update agenthall.runs set lease_until = now() - interval '1 s' where run_id = $1", run_id
    )
    await queue_db.queue.rescue()
    worker._claims.wake()
    await until(lambda: _running(queue_db, run_id, attempt=2))
    assert len(worker._active) == 1
    await until(lambda: queue_db.is_ended(run_id))
    row = await queue_db.get_run(run_id)
    assert (row["status"], row["attempt"]) == ("success", 2)
    assert sorted(set(await _steps(queue_db, run_id))) == list(range(1, 13))
    values = await queue_db.admin.fetchval(
        'select "values" from agenthall.threads where thread_id = $1', row["thread_id"]
    )
    assert json.loads(values)["seen"] == list(range(1, 13))


class _LateAnswers(RunQueue):
    """The answer to a flush that ends a run arrives after the answer to a renewal that was asked later, as in a busy
    process."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.ended = asyncio.Event()
        self._renewed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def flush(self, worker_id, events, ends):
        answer = await super().flush(worker_id, events, ends)
        if ends:
            self.ended.set()
            await self._renewed.wait()
        return answer

    def on_renewed(self) -> None:
        self._loop.call_soon_threadsafe(self._renewed.set)


class _WatchedRenewals(RunQueue):
    """Tells `answers` of a renewal that was asked after the end was committed."""

    def __init__(self, answers: _LateAnswers, pool: Pool) -> None:
        super().__init__(pool)
        self._answers = answers

    async def renew(self, worker_id, run_ids, lease):
        is_late = self._answers.ended.is_set()
        ours = await super().renew(worker_id, run_ids, lease)
        if is_late:
            self._answers.on_renewed()
        return ours


async def test_a_run_whose_end_is_committed_is_not_taken_for_lost(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    queue = _LateAnswers(queue_db.admin)
    with capture_logs() as logs:
        worker = hire(queue, lease_queue=partial(_WatchedRenewals, queue), lease=timedelta(hours=1))
        run_id = await queue_db.enqueue(given={"text": "hello"})
        async with asyncio.timeout(DEADLINE):
            await queue.ended.wait()
        worker._leases.wake()
        await until(lambda: not worker._active)
    assert [(line["event"], line["status"], line["log_level"]) for line in logs] == [("run", "success", "info")]
    assert (await queue_db.get_run(run_id))["status"] == "success"


class _Unrenewed(RunQueue):
    """Renewals hang, as on a connection that is half open."""

    async def renew(self, worker_id, run_ids, lease):
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_worker_that_cannot_renew_stops_its_runs_before_others_may_have_them(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    lease = timedelta(seconds=1.5)
    worker = hire(lease_queue=_Unrenewed, lease=lease, capacity=Capacity(1, 1))
    run_id = await queue_db.enqueue(graph="counter", given=LONG)
    await until(lambda: worker._active)
    (held,) = worker._active
    assert worker._lapse is not None
    assert worker._lapse.when() <= asyncio.get_running_loop().time() + lease.total_seconds()
    await until(lambda: held.task is not None and held.task.done())
    assert held.stop.reason is None
    assert (await queue_db.get_run(run_id))["status"] in ("running", "pending")


async def test_a_drain_gives_back_also_what_the_worker_does_not_know_of(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    """A claim was committed, and its answer lost."""
    worker = hire(capacity=Capacity(1, 1))
    known = await queue_db.enqueue(graph="counter", given=LONG)
    await until(lambda: _running(queue_db, known))
    unknown = await queue_db.enqueue()
    assert len(await queue_db.queue.claim(worker.id, 1, timedelta(hours=1), ["echo"])) == 1
    await worker.stop()
    for run_id in (known, unknown):
        row = await queue_db.get_run(run_id)
        assert (row["status"], row["ready"], row["max_attempts"]) == ("pending", True, 4)


async def test_what_a_run_said_before_it_was_given_back_is_not_lost(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    first = hire()
    run_id = await queue_db.enqueue(graph="counter", given={"until": 12, "delay": 0.05})
    await until(lambda: _steps(queue_db, run_id))
    await first.stop()
    hire()
    await until(lambda: queue_db.is_ended(run_id))
    assert await _steps(queue_db, run_id) == list(range(1, 13))


async def test_a_run_that_is_stopped_while_it_decides_how_to_go_on_goes_on(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    """LangGraph keeps what the step has written so far, and takes it for a finished one that nothing follows (its issue
    8834)."""
    kwargs = {"input": {"until": 4, "delay": 0.3}, "stream_mode": ["updates", "custom"], "durability": "sync"}
    run_id = await queue_db.enqueue(graph="winding", kwargs=kwargs)
    for step in (1, 2):
        worker = hire()
        await until(lambda at=step: _has_step(queue_db, run_id, at))
        await worker.stop()
    hire()
    await until(lambda: queue_db.is_ended(run_id))
    row = await queue_db.get_run(run_id)
    assert (row["status"], row["attempt"]) == ("success", 3)
    assert [each["count"]["count"] for each in await _updates(queue_db, run_id)] == [1, 2, 3, 4]
    values = await queue_db.admin.fetchval(
        'select "values" from agenthall.threads where thread_id = $1', row["thread_id"]
    )
    assert json.loads(values)["seen"] == [1, 2, 3, 4]


async def _has_step(queue_db: RunQueueDatabase, run_id: UUID, step: int) -> bool:
    return len(await _updates(queue_db, run_id)) >= step


async def test_a_worker_rescues_the_runs_of_one_that_is_gone(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    run_id = await queue_db.enqueue(given={"text": "hello"})
    await queue_db.queue.claim(new_id(), 1, timedelta(0), ["echo"])
    hire()
    await until(lambda: queue_db.is_ended(run_id))
    row = await queue_db.get_run(run_id)
    assert (row["status"], row["attempt"]) == ("success", 2)


async def test_who_takes_the_place_of_a_dead_worker_goes_on_with_its_runs_at_once(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    place, elsewhere = new_id(), new_id()
    on, off = await queue_db.enqueue(given={"text": "on"}), await queue_db.enqueue(max_attempts=1)
    await queue_db.queue.claim(place, 2, timedelta(hours=1), ["echo"])
    another = await queue_db.enqueue(given={"text": "another's"})
    await queue_db.queue.claim(elsewhere, 1, timedelta(hours=1), ["echo"])
    hire(worker_id=place, lease=timedelta(hours=1))
    await until(lambda: queue_db.is_ended(on))
    rows = {name: await queue_db.get_run(run_id) for name, run_id in {"on": on, "off": off, "another": another}.items()}
    assert (rows["on"]["status"], rows["on"]["attempt"]) == ("success", 2)
    assert rows["off"]["status"] == "error" and "WorkerLost" in rows["off"]["error"]
    assert (rows["another"]["status"], rows["another"]["worker_id"]) == ("running", elsewhere)


async def test_a_thread_deleted_under_its_run_keeps_nothing_of_it(
    queue_db: RunQueueDatabase, hire: Callable[..., Worker]
) -> None:
    worker = hire()
    run_id = await queue_db.enqueue(graph="counter", given={"until": 1000, "delay": 0.01})
    await until(lambda: _steps(queue_db, run_id))
    thread_id = (await queue_db.get_run(run_id))["thread_id"]
    await queue_db.admin.execute("delete from agenthall.threads where thread_id = $1", thread_id)
    await until(lambda: not worker._active)
    left = await queue_db.admin.fetchval(
        "select count(*) from langgraph.checkpoints where thread_id = $1", str(thread_id)
    )
    assert left == 0
    assert (await queue_db.get_events(run_id))[-1]["event"] == END


async def test_a_worker_takes_no_more_than_its_slots(queue_db: RunQueueDatabase, hire: Callable[..., Worker]) -> None:
    worker = hire(capacity=Capacity(2, 1))
    for _ in range(5):
        await queue_db.enqueue(graph="counter", given=LONG)
    await until(lambda: len(worker._active) == 2)
    worker._claims.wake()
    running = "select count(*) from agenthall.runs where status = 'running'"
    counts = worker._claims.counts.runs
    await until(lambda: worker._claims.counts.runs > counts)
    assert await queue_db.admin.fetchval(running) == 2
