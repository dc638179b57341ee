"""Followers of runs: each gets every event once and in order, however it is woken and however slow it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from uuid import UUID

import pytest
from deadlines import DEADLINE
from run_queue_database import SUCCESS, CountingQueue, RunQueueDatabase, open_run_queue_database
from servers.live_server import until

from robyn_server.core.ids import new_id
from robyn_server.core.runs import END, RunEvent
from robyn_server.run_events import reader
from robyn_server.run_events.reader import RunEventReader, RunSubscription
from robyn_server.storage.runs.queue import LARGEST_READ, ONLY_END

WORKER = new_id()


@pytest.fixture
async def queue_db(database: str) -> AsyncIterator[RunQueueDatabase]:
    async with open_run_queue_database(database) as queue_db:
        yield queue_db


@pytest.fixture
async def feed(queue_db: RunQueueDatabase) -> AsyncIterator[RunEventReader]:
    feed = RunEventReader(queue_db.queue)
    feed.start()
    yield feed
    await feed.stop()


async def _all(subscription: RunSubscription) -> list[int]:
    seqs = []
    async with asyncio.timeout(DEADLINE):
        async for batch in subscription.batches():
            seqs += [event.seq for event in batch]
    return seqs


async def _followed(feed: RunEventReader, run_id: UUID, after: int = 0) -> list[int]:
    with feed.subscribe(run_id, after) as subscription:
        return await _all(subscription)


async def test_events_arrive_without_any_notification(queue_db: RunQueueDatabase, feed: RunEventReader) -> None:
    run = await queue_db.claim_new_run(WORKER)
    following = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: queue_db.queue.reads > 0)
    await queue_db.write_events(run, WORKER, 1, 2)
    await queue_db.write_events(run, WORKER, 3, end=SUCCESS)
    assert await following == [1, 2, 3, 4]


async def test_a_notification_of_the_run_is_heeded_and_others_are_not(
    queue_db: RunQueueDatabase, feed: RunEventReader
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    following = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: queue_db.queue.reads > 0)
    feed.wake(f"nonsense,{new_id()},,{'x' * 100}")
    await queue_db.write_events(run, WORKER, 1, end=SUCCESS)
    feed.wake(f"{new_id()},{run.run_id}")
    assert await following == [1, 2]


async def test_many_followers_of_a_run_share_its_reading(queue_db: RunQueueDatabase, feed: RunEventReader) -> None:
    run = await queue_db.claim_new_run(WORKER)
    following = [asyncio.create_task(_followed(feed, run.run_id)) for _ in range(200)]
    await until(lambda: queue_db.queue.reads > 0)
    before = queue_db.queue.reads
    await queue_db.write_events(run, WORKER, *range(1, 101), end=SUCCESS)
    feed.wake(str(run.run_id))
    for each in following:
        assert await each == list(range(1, 102))
    assert queue_db.queue.reads - before <= 4


async def test_many_streams_get_their_events_in_groups_and_an_end_comes_before_them(
    queue_db: RunQueueDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read wakes a thread for each stream, which costs less when few wake at a time."""
    monkeypatch.setattr(reader, "PAUSE_BETWEEN_STREAMS", 1.0)
    feed, arrivals = RunEventReader(queue_db.queue), list[tuple[float, UUID]]()
    runs = [await queue_db.claim_new_run(WORKER) for _ in range(40)]
    for run in runs[:-1]:
        await queue_db.write_events(run, WORKER, 1)
    await queue_db.write_events(runs[-1], WORKER, 1, end=SUCCESS)

    async def arrive(subscription: RunSubscription) -> None:
        async for _ in subscription.batches():
            arrivals.append((time.monotonic(), subscription.run_id))
            break

    with contextlib.ExitStack() as stack:
        subscriptions = [stack.enter_context(feed.subscribe(run.run_id, 0)) for run in runs]
        arriving = [asyncio.create_task(arrive(each)) for each in subscriptions]
        await feed._read()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*arriving)
    assert arrivals[0][1] == runs[-1].run_id
    gaps = sorted(after - before for (before, _), (after, _) in pairwise(arrivals))
    assert gaps[-2] >= 0.3, "39 streams are three groups"


async def test_few_streams_get_their_events_without_a_pause(
    queue_db: RunQueueDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAUSE_BETWEEN_STREAMS", 3600)
    feed = RunEventReader(queue_db.queue)
    runs = [await queue_db.claim_new_run(WORKER) for _ in range(16)]
    for run in runs:
        await queue_db.write_events(run, WORKER, 1)
    with contextlib.ExitStack() as stack:
        subscriptions = [stack.enter_context(feed.subscribe(run.run_id, 0)) for run in runs]
        async with asyncio.timeout(DEADLINE):
            await feed._read()
    assert [each.after for each in subscriptions] == [1] * 16


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (3, [3]), (-1, [1, 2, 3])])
async def test_a_follower_goes_on_from_its_place(
    queue_db: RunQueueDatabase, feed: RunEventReader, after: int, expected: list[int]
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    await queue_db.write_events(run, WORKER, 1, 2, end=SUCCESS)
    assert await _followed(feed, run.run_id, after) == expected


@pytest.mark.parametrize("after", [4, 99, ONLY_END, 2**31, 10**30])
async def test_a_place_beyond_the_end_gets_the_end_and_harms_nobody(
    queue_db: RunQueueDatabase, feed: RunEventReader, after: int
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    beyond = asyncio.create_task(_followed(feed, run.run_id, after))
    beside = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: queue_db.queue.reads > 0)
    await queue_db.write_events(run, WORKER, 1, 2, end=SUCCESS)
    assert await beyond == [3]
    assert await beside == [1, 2, 3]


async def test_who_waits_for_the_end_alone_reads_the_end_alone(
    queue_db: RunQueueDatabase, feed: RunEventReader
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    waiting = asyncio.create_task(_followed(feed, run.run_id, ONLY_END))
    for first in (1, 101, 201):
        await queue_db.write_events(run, WORKER, *range(first, first + 100))
        feed.wake(str(run.run_id))
    await queue_db.write_events(run, WORKER, end=SUCCESS)
    feed.wake(str(run.run_id))
    assert await waiting == [301]
    assert queue_db.queue.read_rows == 1


async def test_a_slow_follower_is_bounded_holds_up_nobody_and_misses_nothing(
    queue_db: RunQueueDatabase, feed: RunEventReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_BATCH", 50)
    monkeypatch.setattr(reader, "_BACKLOG", 100)
    run = await queue_db.claim_new_run(WORKER)
    with feed.subscribe(run.run_id, 0) as slow:
        for first in range(1, 1001, 100):
            await queue_db.write_events(run, WORKER, *range(first, first + 100))
        await queue_db.write_events(run, WORKER, end=SUCCESS)
        assert await _followed(feed, run.run_id) == list(range(1, 1002))
        assert len(slow._waiting) <= 150
        assert await _all(slow) == list(range(1, 1002))


async def test_large_events_fill_a_follower_before_many_do(
    queue_db: RunQueueDatabase, feed: RunEventReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_BATCH", 2)
    monkeypatch.setattr(reader, "_BACKLOG_CHARACTERS", 20)
    run = await queue_db.claim_new_run(WORKER)
    await queue_db.write_events(run, WORKER, *range(1, 31), end=SUCCESS)
    with feed.subscribe(run.run_id, 0) as slow:
        await until(lambda: slow.is_full)
        assert slow._characters < 60
        assert await _all(slow) == list(range(1, 32))


async def test_a_follower_that_left_is_forgotten(queue_db: RunQueueDatabase, feed: RunEventReader) -> None:
    run = await queue_db.claim_new_run(WORKER)
    with feed.subscribe(run.run_id, 0):
        assert feed._subscriptions
    assert not feed._subscriptions


class _Away(CountingQueue):
    """A database that is away for the first two reads."""

    async def read_events(self, after, limit):
        found = await super().read_events(after, limit)
        if self.reads <= 2:
            raise OSError("away")
        return found


async def test_a_database_that_was_away_loses_no_event(queue_db: RunQueueDatabase) -> None:
    run = await queue_db.claim_new_run(WORKER)
    await queue_db.write_events(run, WORKER, 1, end=SUCCESS)
    feed = RunEventReader(_Away(queue_db.admin))
    feed.start()
    assert await _followed(feed, run.run_id) == [1, 2]
    await feed.stop()


async def test_the_end_of_a_run_that_is_deleted_reaches_its_followers(
    queue_db: RunQueueDatabase, feed: RunEventReader
) -> None:
    run = await queue_db.claim_new_run(WORKER)
    following = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: queue_db.queue.reads > 0)
    await queue_db.admin.execute("delete from agenthall.threads where thread_id = $1", run.thread_id)
    assert await following == [1]
    assert [row["event"] for row in await queue_db.get_events(run.run_id)] == [END]


async def test_a_follower_gets_all_large_events_without_waiting_for_the_next_poll(
    queue_db: RunQueueDatabase, feed: RunEventReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_POLL_SECONDS", DEADLINE * 10)
    run = await queue_db.claim_new_run(WORKER)
    large = [(run, RunEvent(seq, run.attempt, "values", f'"{"x" * (LARGEST_READ // 2)}"')) for seq in range(1, 8)]
    await queue_db.queue.flush(WORKER, large, [])
    await queue_db.write_events(run, WORKER, 8, end=SUCCESS)
    assert await _followed(feed, run.run_id) == list(range(1, 10))
