"""The ttl of threads: when it begins, and how a thread ends whose ttl is over."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from deadlines import DEADLINE
from run_storage import RunStorage, ended_run

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.ids import new_id
from robyn_server.core.ttl import PruneStrategy, ThreadTtl
from robyn_server.metrics.definitions import CHECKPOINTS_SWEPT, THREADS_SWEPT
from robyn_server.metrics.exposition import samples
from robyn_server.storage.postgres.pools import Role, acting_as, open_pool
from robyn_server.storage.postgres.queries import load
from robyn_server.storage.thread_retention import FIRST, ThreadRetention
from robyn_server.worker.sweepers.threads import MOST_FAILURES, ThreadSweeper

HOUR = ThreadTtl(timedelta(hours=1))
KEEP = ThreadTtl(timedelta(hours=1), PruneStrategy.KEEP_LATEST)
WORKER = new_id()


@pytest.fixture
def retention(storage: RunStorage) -> ThreadRetention:
    return ThreadRetention(storage.system)


async def _create(storage: RunStorage, ttl: ThreadTtl | None, principal: Principal = LOCAL) -> UUID:
    thread_id = new_id()
    await storage.threads.create(principal, thread_id, {}, None, ttl)
    return thread_id


async def _left(storage: RunStorage, thread_id: UUID) -> timedelta | None:
    """The time until the thread expires."""
    row = await storage.get_thread(thread_id)
    return None if row["expires_at"] is None else row["expires_at"] - datetime.now(UTC)


async def _age(storage: RunStorage, *threads: UUID) -> None:
    await storage.admin.execute(
        "update agenthall.threads set expires_at = now() - interval '1 min' where thread_id = any ($1)", list(threads)
    )


async def _run(storage: RunStorage, thread_id: UUID) -> None:
    await storage.enqueue(thread_id)
    (run,) = await storage.claim(WORKER)
    await storage.queue.flush(WORKER, [], [ended_run(run)])


async def test_a_ttl_counts_from_when_it_was_set_and_anew_from_the_end_of_each_run(storage: RunStorage) -> None:
    thread = await _create(storage, HOUR)
    assert timedelta(minutes=59) < (await _left(storage, thread) or timedelta()) <= timedelta(hours=1)
    await _age(storage, thread)
    await storage.threads.update(LOCAL, thread, {"a": 1}, None)
    assert (await _left(storage, thread) or timedelta()) < timedelta(), "metadata does not begin it anew"
    await _run(storage, thread)
    assert (await _left(storage, thread) or timedelta()) > timedelta(minutes=59)
    await storage.threads.update(LOCAL, thread, {}, ThreadTtl(timedelta(minutes=5), PruneStrategy.KEEP_LATEST))
    assert timedelta(minutes=4) < (await _left(storage, thread) or timedelta()) < timedelta(minutes=6)


async def test_a_thread_shows_its_ttl_if_it_has_one(storage: RunStorage) -> None:
    thread = await _create(storage, ThreadTtl(timedelta(seconds=90), PruneStrategy.KEEP_LATEST))
    shown = json.loads(await storage.threads.find_with_ttl(LOCAL, thread) or "")
    row = await storage.get_thread(thread)
    assert shown["ttl"] == {
        "strategy": "keep_latest",
        "ttl_minutes": 1.5,
        "expires_at": row["expires_at"].isoformat(timespec="microseconds"),
    }
    plain = await _create(storage, None)
    assert await storage.threads.find_with_ttl(LOCAL, plain) == await storage.threads.find(LOCAL, plain)
    assert await storage.threads.find_with_ttl(LOCAL, new_id()) is None


async def test_a_thread_that_names_no_ttl_gets_the_one_of_the_session(storage: RunStorage) -> None:
    old = await _create(storage, None)
    session = {"agenthall.thread_ttl": "30 minutes", "agenthall.thread_ttl_strategy": "keep_latest"}
    pool = await open_pool(storage.url, Role.APP, size=1, name="tests", session=session)
    try:
        with_default = RunStorage(storage.url, pool, storage.system, storage.admin)
        created, named, implicit = await _create(with_default, None), await _create(with_default, HOUR), new_id()
        await with_default.enqueue(implicit)
        await with_default.enqueue(old)
        stateless = new_id()
        await with_default.enqueue(stateless, new_thread="ephemeral", keep_thread=False)
    finally:
        await pool.close()
    default = (timedelta(minutes=30), "keep_latest")
    wanted = {created: default, named: (timedelta(hours=1), "delete"), implicit: default, old: default}
    for thread, ttl in (wanted | {stateless: (None, None)}).items():
        row = await storage.get_thread(thread)
        assert (row["ttl"], row["ttl_strategy"]) == ttl


async def test_a_copy_has_the_ttl_from_its_beginning(storage: RunStorage) -> None:
    thread, copy = await _create(storage, KEEP), new_id()
    await _age(storage, thread)
    await storage.threads.copy(LOCAL, thread, copy)
    row = await storage.get_thread(copy)
    assert (row["ttl"], row["ttl_strategy"]) == (KEEP.lifetime, "keep_latest")
    assert (await _left(storage, copy) or timedelta()) > timedelta(minutes=59)


async def test_only_threads_whose_ttl_is_over_are_ended(storage: RunStorage, retention: ThreadRetention) -> None:
    young, endless = await _create(storage, HOUR), await _create(storage, None)
    old = [await _create(storage, HOUR, Principal(f"somebody {number}")) for number in range(3)]
    await _run(storage, old[0])
    await _age(storage, *old)
    counted = samples(THREADS_SWEPT).get(("delete",), 0)
    assert await ThreadSweeper(retention).end_expired() == 3
    assert await ThreadSweeper(retention).end_expired() == 0
    assert samples(THREADS_SWEPT)["delete",] == counted + 3
    rows = await storage.admin.fetch("select thread_id from agenthall.threads")
    assert {row["thread_id"] for row in rows} == {young, endless}
    assert await storage.fetch_value("select count(*) from agenthall.runs") == 0


async def test_a_sweep_ends_at_most_its_limit(storage: RunStorage, retention: ThreadRetention) -> None:
    await _age(storage, *[await _create(storage, HOUR) for _ in range(5)])
    assert [await ThreadSweeper(retention, limit=2).end_expired() for _ in range(4)] == [2, 2, 1, 0]


async def test_a_thread_with_a_run_is_left_alone_until_the_run_has_ended(
    storage: RunStorage, retention: ThreadRetention
) -> None:
    thread = await _create(storage, HOUR)
    await storage.enqueue(thread)
    await _age(storage, thread)
    assert await retention.list_expired(FIRST, 10) == []
    assert await retention.expire(thread) is None, "it is pending"
    (run,) = await storage.claim(WORKER)
    assert await retention.expire(thread) is None, "it is running"
    await storage.queue.flush(WORKER, [], [ended_run(run)])
    assert await retention.expire(thread) is None, "its ttl began anew"
    await _age(storage, thread)
    assert await retention.expire(thread) is PruneStrategy.DELETE


async def test_a_thread_that_somebody_has_locked_is_left_alone(storage: RunStorage, retention: ThreadRetention) -> None:
    thread, other = await _create(storage, HOUR), await _create(storage, HOUR)
    await _age(storage, thread, other)
    async with storage.threads.lock(LOCAL, thread):
        assert await ThreadSweeper(retention).end_expired() == 1
    assert await ThreadSweeper(retention).end_expired() == 1


async def test_a_thread_that_is_copied_is_not_pruned_meanwhile(storage: RunStorage, retention: ThreadRetention) -> None:
    thread = await _create(storage, KEEP)
    await _age(storage, thread)
    async with acting_as(storage.app, LOCAL) as connection:
        await connection.execute(
            *load("threads")["copy"].bind(thread_id=thread, new_id=new_id(), identity=LOCAL.identity, metadata="{}")
        )
        assert await retention.expire(thread) is None
    assert await retention.expire(thread) is PruneStrategy.KEEP_LATEST


async def test_several_sweepers_end_each_thread_once(storage: RunStorage, retention: ThreadRetention) -> None:
    await _age(storage, *[await _create(storage, HOUR) for _ in range(150)])
    async with asyncio.timeout(DEADLINE):
        assert sum(await asyncio.gather(*(ThreadSweeper(retention).end_expired() for _ in range(4)))) == 150


async def test_a_run_that_is_enqueued_while_the_thread_ends_finds_it_or_does_not(
    storage: RunStorage, retention: ThreadRetention
) -> None:
    """It never runs on a thread that is gone."""
    for _ in range(20):
        thread = await _create(storage, HOUR)
        await _age(storage, thread)
        ended, found = await asyncio.gather(retention.expire(thread), _outcome(storage, thread))
        assert (ended is None) == (found == "enqueued")
    await storage.check_invariants()


async def _outcome(storage: RunStorage, thread: UUID) -> str:
    try:
        await storage.enqueue(thread, new_thread="reject")
    except AssertionError:
        return "thread_missing"
    return "enqueued"


async def test_keep_latest_leaves_the_thread_until_its_next_run(
    storage: RunStorage, retention: ThreadRetention
) -> None:
    thread = await _create(storage, KEEP)
    await _age(storage, thread)
    assert await ThreadSweeper(retention).end_expired() == 1
    assert (await storage.get_thread(thread))["expires_at"] is None
    shown = json.loads(await storage.threads.find_with_ttl(LOCAL, thread) or "")
    assert shown["ttl"] == {"strategy": "keep_latest", "ttl_minutes": 60, "expires_at": None}
    assert await ThreadSweeper(retention).end_expired() == 0, "there is nothing new to prune"
    await _run(storage, thread)
    assert (await _left(storage, thread) or timedelta()) > timedelta(minutes=59)


class _Failing(ThreadRetention):
    """Fails for some threads."""

    def __init__(self, pool: Any, failing: set[UUID]) -> None:
        super().__init__(pool)
        self._failing = failing
        self.failures = 0

    async def expire(self, thread_id: UUID) -> PruneStrategy | None:
        if thread_id in self._failing:
            self.failures += 1
            raise LookupError("this one is broken")
        return await super().expire(thread_id)


async def test_a_thread_that_cannot_be_ended_does_not_keep_the_others(storage: RunStorage) -> None:
    threads = [await _create(storage, HOUR) for _ in range(30)]
    await _age(storage, *threads)
    assert await ThreadSweeper(_Failing(storage.system, set(threads[:3]))).end_expired() == 27
    failing = _Failing(storage.system, set(threads[:3]) | {await _create(storage, HOUR) for _ in range(20)})
    await _age(storage, *failing._failing)
    with pytest.raises(LookupError):
        await ThreadSweeper(failing).end_expired()
    assert failing.failures == MOST_FAILURES


async def test_no_request_ends_the_threads_of_others(storage: RunStorage) -> None:
    thread = await _create(storage, HOUR, Principal("anna"))
    await _age(storage, thread)
    for function in ("expire_thread($1)", "prune_checkpoints($1, 1)", "prune_own_checkpoints($1, 1)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await storage.app.fetchval(f"select agenthall.{function}", thread)
    assert not await storage.threads.prune(Principal("bert"), thread, PruneStrategy.DELETE)
    assert await storage.get_thread(thread) is not None


# idle threads


async def _make_idle(storage: RunStorage, *threads: UUID) -> None:
    await storage.admin.execute(
        "update agenthall.threads set updated_at = now() - interval '2 h', state_updated_at = now() - interval '2 h'"
        " where thread_id = any ($1)",
        list(threads),
    )


async def test_threads_that_nobody_used_are_deleted_and_others_are_not(
    storage: RunStorage, retention: ThreadRetention
) -> None:
    idle, used, busy, locked = [await _create(storage, None) for _ in range(4)]
    await storage.enqueue(busy)
    await _make_idle(storage, idle, busy, locked)
    sweeper = ThreadSweeper(retention, max_idle=timedelta(hours=1))
    async with storage.threads.lock(LOCAL, locked):
        await sweeper.sweep()
    rows = await storage.admin.fetch("select thread_id from agenthall.threads")
    assert {row["thread_id"] for row in rows} == {used, busy, locked}
    await storage.threads.update(LOCAL, locked, {"a": 1}, None)
    await sweeper.sweep()
    assert await storage.get_thread(locked) is not None, "an update is a use"
    await ThreadSweeper(retention).sweep()
    assert await storage.get_thread(busy) is not None


# checkpoints to keep

_CHECKPOINTS = """
insert into langgraph.checkpoints (thread_id, checkpoint_id, parent_checkpoint_id, checkpoint)
select $1::uuid::text, lpad(n::text, 6, '0'), case when n > 1 then lpad((n - 1)::text, 6, '0') end,
       jsonb_build_object('v', 4, 'channel_values', '{}'::jsonb, 'channel_versions', jsonb_build_object('messages', n::text))
  from generate_series(1, $2::integer) n"""
_BLOBS = """
insert into langgraph.checkpoint_blobs (thread_id, channel, version, type, blob)
select $1::uuid::text, 'messages', n::text, 'json', repeat('x', 5000)::bytea from generate_series(1, $2::integer) n"""


async def _with_checkpoints(storage: RunStorage, count: int) -> UUID:
    thread = await _create(storage, None)
    await storage.admin.execute(_CHECKPOINTS, thread, count)
    await storage.admin.execute(_BLOBS, thread, count)
    await _make_idle(storage, thread)
    return thread


async def _checkpoints(storage: RunStorage, thread: UUID) -> list[str]:
    rows = await storage.admin.fetch(
        "select c.checkpoint_id from langgraph.checkpoints c join langgraph.checkpoint_blobs b using (thread_id)"
        " where c.thread_id = $1 and b.version = c.checkpoint -> 'channel_versions' ->> 'messages' order by 1",
        str(thread),
    )
    return [row["checkpoint_id"].lstrip("0") for row in rows]


async def test_threads_keep_their_latest_checkpoints(storage: RunStorage, retention: ThreadRetention) -> None:
    long, short = await _with_checkpoints(storage, 9), await _with_checkpoints(storage, 2)
    await ThreadSweeper(retention).prune()
    assert len(await _checkpoints(storage, long)) == 9, "off by default"
    sweeper = ThreadSweeper(retention, keep_checkpoints=3)
    counted = samples(CHECKPOINTS_SWEPT).get((), 0)
    assert await sweeper.prune_changed(3) == 6
    assert samples(CHECKPOINTS_SWEPT)[()] == counted + 6
    assert await _checkpoints(storage, long) == ["7", "8", "9"]
    assert await _checkpoints(storage, short) == ["1", "2"]
    assert await storage.fetch_value("select count(*) from langgraph.checkpoint_blobs") == 5
    await ThreadSweeper(retention, keep_checkpoints=1).prune()
    assert await _checkpoints(storage, long) == ["9"], "a smaller number applies to threads that were looked at"
    assert await _checkpoints(storage, short) == ["2"]


async def test_a_thread_is_looked_at_again_when_its_state_has_changed(
    storage: RunStorage, retention: ThreadRetention
) -> None:
    thread, other = await _with_checkpoints(storage, 4), await _with_checkpoints(storage, 4)
    assert await ThreadSweeper(retention).prune_changed(2) == 4
    assert await retention.prune_changed(2) == (0, 0)
    for each in (thread, other):
        await storage.admin.execute("delete from langgraph.checkpoints where thread_id = $1", str(each))
        await storage.admin.execute(_CHECKPOINTS, each, 5)
    await _run(storage, thread)
    assert await retention.prune_changed(2) == (0, 0), "the change has not settled"
    assert await retention.prune_changed(2, settled=timedelta(0)) == (1, 3)
    assert await retention.prune_changed(2, settled=timedelta(0)) == (0, 0)


async def test_a_thread_in_use_is_passed_by_and_pruned_after_its_run(
    storage: RunStorage, retention: ThreadRetention
) -> None:
    thread = await _with_checkpoints(storage, 4)
    await storage.enqueue(thread)
    assert await retention.prune_changed(2) == (1, 0)
    (run,) = await storage.claim(WORKER)
    await storage.queue.flush(WORKER, [], [ended_run(run)])
    assert await retention.prune_changed(2, settled=timedelta(0)) == (1, 2)


async def test_several_workers_prune_each_thread_once(storage: RunStorage, retention: ThreadRetention) -> None:
    for _ in range(20):
        await _with_checkpoints(storage, 3)
    sweepers = [ThreadSweeper(retention).prune_changed(1) for _ in range(4)]
    async with asyncio.timeout(DEADLINE):
        deleted = sum(await asyncio.gather(*sweepers))
    deleted += await ThreadSweeper(retention).prune_changed(1)
    assert deleted == 40
