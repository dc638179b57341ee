"""The history of metrics in the database: a row a minute, written once, for a day, at a cost that does not grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from databases import fresh_database, open_pools
from read_costs import FEW, MANY, CountingPool, load
from run_storage import LEASE, RunStorage, ended_run, open_run_storage

from robyn_server import __version__
from robyn_server.core.access.principal import LOCAL
from robyn_server.core.ids import new_id
from robyn_server.core.metric_points import MINUTE, Minute, points
from robyn_server.core.runs import RunEnd, RunStatus, ThreadStatus
from robyn_server.storage.operations.metrics_history import KEPT_EVENTS, SETTLE, MetricsHistory
from robyn_server.storage.registry.instances.leases import Leases
from robyn_server.storage.workers import ProcessKind, Workers

FAILED = RunEnd(RunStatus.ERROR, ThreadStatus.ERROR, None, error={"error": "ValueError", "message": "no"})
TIMEOUT = RunEnd(RunStatus.TIMEOUT, ThreadStatus.ERROR, None, error={"error": "Timeout", "message": "slow"})
STOPPED = RunEnd(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED, None)
MANY_ROWS = """
insert into agenthall.threads (thread_id, owner_id, status)
select lpad(to_hex(n), 32, '0')::uuid, 'somebody', 'idle' from generate_series(1, {rows}) n;
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status)
select overlay(agenthall.lowest_id(now() - interval '1 hour' - n * interval '1 s')::text
               placing lpad(to_hex(n), 12, '0') from 25)::uuid,
       t.thread_id, t.thread_id, 1, 'echo', 'somebody', '{{}}', false, 'success'
  from (select t.*, row_number() over () as n from agenthall.threads t) t;
insert into agenthall.run_events (run_id, seq, attempt, event, data, created_at, outcome, waited, ran)
select r.run_id, seq, 1, case seq when 3 then '__end__' else 'values' end, '{{}}', now() - interval '1 hour',
       case seq when 3 then 'success' end, 1, 1
  from agenthall.runs r, generate_series(1, 3) seq;
analyze agenthall.runs; analyze agenthall.run_events;
"""


@pytest.fixture
async def storage(database: str) -> AsyncIterator[RunStorage]:
    async with open_run_storage(database) as opened:
        yield opened


async def clock(storage: RunStorage) -> datetime:
    """That of the database."""
    now: datetime = await storage.admin.fetchval("select clock_timestamp()")
    return now


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


class Recorded:
    """Minutes that were recorded as processes do when they are over. A test may begin in one and end in the next."""

    def __init__(self, minutes: Sequence[Minute]) -> None:
        (self.point,) = points(minutes, timedelta(days=100_000))
        self.ran = [seconds for minute in minutes for seconds in minute.ran]
        self.waited = [seconds for minute in minutes for seconds in minute.waited]

    def counts(self, *names: str) -> tuple[int, ...]:
        return tuple(self.point[f"runs_{name}"] for name in names)


async def recorded(storage: RunStorage, since: datetime) -> Recorded:
    history, at, until = MetricsHistory(storage.system), minute_of(since), await clock(storage)
    while at <= until:
        assert await history.record(at + MINUTE + SETTLE)
        at += MINUTE
    return Recorded(await history.list(minute_of(since)))


async def test_a_minute_counts_the_runs_that_were_created_and_that_ended(storage: RunStorage) -> None:
    now, worker = await clock(storage), new_id()
    for end in (None, FAILED, TIMEOUT, STOPPED):
        run = await storage.claim_new_run(worker)
        await storage.queue.flush(worker, [], [ended_run(run) if end is None else ended_run(run, end)])
    await storage.claim_new_run(worker)
    await storage.enqueue(new_id())
    found = await recorded(storage, now)
    assert found.counts("created", "succeeded", "failed", "interrupted") == (6, 1, 2, 1)
    assert found.counts("pending", "running", "cancelled") == (1, 1, 0)
    assert len(found.ran) == len(found.waited) == 4
    assert all(0 <= seconds < 60 for seconds in (*found.ran, *found.waited))


async def test_a_run_that_is_deleted_at_its_end_counts_too(storage: RunStorage) -> None:
    now, worker = await clock(storage), new_id()
    run = await storage.claim_new_run(worker, new_thread="ephemeral", keep_thread=False)
    await storage.queue.flush(worker, [], [ended_run(run)])
    assert await storage.get_run(run.run_id) is None
    found = await recorded(storage, now)
    assert (*found.counts("created", "succeeded"), len(found.ran)) == (1, 1, 1)


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_cancelled_runs_are_counted_by_themselves(storage: RunStorage, action: str) -> None:
    now, worker, thread = await clock(storage), new_id(), new_id()
    waiting = await storage.enqueue(thread)
    assert await storage.queue.cancel_pending(waiting, action)
    running = await storage.claim_new_run(worker)
    await storage.runs.cancel(LOCAL, running.thread_id, running.run_id, action)
    await storage.queue.flush(worker, [], [ended_run(running, STOPPED)])
    found = await recorded(storage, now)
    assert found.counts("cancelled", "interrupted") == (2, 0)
    assert len(found.ran) == 1, "the run that never began has no duration"


async def test_more_than_101_runs_become_percentiles(storage: RunStorage) -> None:
    now = minute_of(await clock(storage))
    await storage.admin.execute(
        """insert into agenthall.run_events (run_id, seq, attempt, event, data, created_at, outcome, waited, ran)
           select gen_random_uuid(), 1, 1, '__end__', '{}', $1, 'success', 0, n from generate_series(1, 1001) n""",
        now,
    )
    found = await recorded(storage, now)
    assert (*found.counts("succeeded"), len(found.ran)) == (1001, 101)
    assert (found.ran[0], found.ran[50], found.ran[100]) == (1, 501, 1001)


async def test_one_of_many_processes_writes_a_minute(storage: RunStorage) -> None:
    now = minute_of(await clock(storage)) + MINUTE + SETTLE
    written = await asyncio.gather(*(MetricsHistory(storage.system).record(now) for _ in range(8)))
    assert sorted(written) == [False] * 7 + [True]
    assert not await MetricsHistory(storage.system).record(now + timedelta(seconds=30))


async def test_minutes_without_a_process_stay_gaps_and_a_day_is_kept(storage: RunStorage) -> None:
    history, last = MetricsHistory(storage.system), minute_of(await clock(storage))
    for age in (timedelta(hours=25), timedelta(hours=24), timedelta(hours=23), MINUTE, timedelta(0)):
        assert await history.record(last - age + MINUTE + SETTLE)
    ages = [last - minute.at for minute in await history.list(last - timedelta(days=2))]
    assert ages == [timedelta(hours=23), MINUTE, timedelta(0)]


async def test_a_minute_is_not_written_before_its_last_transactions_are_over(storage: RunStorage) -> None:
    history, minute = MetricsHistory(storage.system), minute_of(await clock(storage))
    await history.record(minute + MINUTE + SETTLE - timedelta(seconds=1))
    assert [each.at for each in await history.list(minute - timedelta(hours=1))] == [minute - MINUTE]


async def test_events_outlive_the_time_in_which_a_minute_is_recorded() -> None:
    assert 2 * MINUTE + SETTLE + timedelta(seconds=20) < KEPT_EVENTS


async def test_streams_of_living_web_processes_are_summed(storage: RunStorage) -> None:
    workers, lifetime = Workers(storage.system), timedelta(minutes=5)
    for streams in (3, 4):
        await workers.announce(new_id(), ["echo"], lifetime, ProcessKind.WEB, open_streams=streams)
    await workers.announce(new_id(), ["echo"], -lifetime, ProcessKind.WEB, open_streams=100)
    now = await MetricsHistory(storage.system).read_now()
    assert now.open_streams == 7
    assert (await recorded(storage, await clock(storage))).point["open_streams"] == 7


async def test_every_kind_of_process_is_listed_with_its_version(storage: RunStorage) -> None:
    await Workers(storage.system).announce(new_id(), ["echo"], timedelta(minutes=5))
    leases, stopped = Leases(storage.system), new_id()
    await leases.touch_keeper(new_id(), "sockets")
    await leases.touch_keeper(stopped, "sockets")
    await leases.stop_keeper(stopped)
    processes = await MetricsHistory(storage.system).list_processes()
    assert [(each.process, each.version) for each in processes] == [("sockets", __version__), ("worker", __version__)]


async def test_no_role_of_a_principal_reads_the_history(storage: RunStorage) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await storage.app.fetch("select * from agenthall.metrics_history")


async def test_a_run_notes_each_claim(storage: RunStorage) -> None:
    worker = new_id()
    run = await storage.claim_new_run(worker)
    await storage.queue.release(worker, drained=False)
    (again,) = await storage.queue.claim(worker, 1, LEASE, ["echo"])
    assert again.run_id == run.run_id
    row = await storage.get_run(run.run_id)
    first, second = row["claimed_at"]
    assert first < second == row["updated_at"]


async def test_a_minute_costs_the_same_among_many_runs(postgres: str, template: str) -> None:
    costs = {}
    for rows in (FEW, MANY):
        async with fresh_database(postgres, template) as url, open_pools(url, size=1) as (_, system, login):
            await load(login, MANY_ROWS.format(rows=rows), triggers=False)
            async with system.acquire() as connection:
                pool = CountingPool(connection)
                history = MetricsHistory(pool)  # type: ignore[arg-type]
                await history.record(datetime.now(UTC) + timedelta(minutes=5))
                costs[rows] = pool.buffers
                await history.record(datetime.now(UTC) + timedelta(minutes=5))
    assert costs[MANY] <= costs[FEW] + 100, costs
