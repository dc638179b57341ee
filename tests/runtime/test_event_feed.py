"""Followers of runs: each gets every event once and in order, however it is woken and however slow it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from live_server import until
from surroundings import SUCCESS, CountingQueue, Desk, open_desk

from robyn_server.core.ids import new_id
from robyn_server.core.runs import END
from robyn_server.runtime import event_feed
from robyn_server.runtime.event_feed import EventFeed, Follower
from robyn_server.storage.runs import ONLY_END

WORKER = new_id()


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    async with open_desk(database) as desk:
        yield desk


@pytest.fixture
async def feed(desk: Desk) -> AsyncIterator[EventFeed]:
    feed = EventFeed(desk.queue)
    feed.start()
    yield feed
    await feed.stop()


async def _all(follower: Follower) -> list[int]:
    seqs = []
    async with asyncio.timeout(20):
        async for batch in follower.batches():
            seqs += [event.seq for event in batch]
    return seqs


async def _followed(feed: EventFeed, run_id: UUID, after: int = 0) -> list[int]:
    with feed.follow(run_id, after) as follower:
        return await _all(follower)


async def test_events_arrive_without_any_notification(desk: Desk, feed: EventFeed) -> None:
    run = await desk.claimed(WORKER)
    following = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: desk.queue.reads > 0)
    await desk.say(run, WORKER, 1, 2)
    await desk.say(run, WORKER, 3, end=SUCCESS)
    assert await following == [1, 2, 3, 4]


async def test_a_notification_of_the_run_is_heeded_and_others_are_not(desk: Desk, feed: EventFeed) -> None:
    run = await desk.claimed(WORKER)
    following = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: desk.queue.reads > 0)
    feed.wake(f"nonsense,{new_id()},,{'x' * 100}")
    await desk.say(run, WORKER, 1, end=SUCCESS)
    feed.wake(f"{new_id()},{run.run_id}")
    assert await following == [1, 2]


async def test_many_followers_of_a_run_share_its_reading(desk: Desk, feed: EventFeed) -> None:
    run = await desk.claimed(WORKER)
    following = [asyncio.create_task(_followed(feed, run.run_id)) for _ in range(200)]
    await until(lambda: desk.queue.reads > 0)
    before = desk.queue.reads
    await desk.say(run, WORKER, *range(1, 101), end=SUCCESS)
    feed.wake(str(run.run_id))
    for each in following:
        assert await each == list(range(1, 102))
    assert desk.queue.reads - before <= 4


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (3, [3]), (-1, [1, 2, 3])])
async def test_a_follower_goes_on_from_its_place(desk: Desk, feed: EventFeed, after: int, expected: list[int]) -> None:
    run = await desk.claimed(WORKER)
    await desk.say(run, WORKER, 1, 2, end=SUCCESS)
    assert await _followed(feed, run.run_id, after) == expected


@pytest.mark.parametrize("after", [4, 99, ONLY_END, 2**31, 10**30])
async def test_a_place_beyond_the_end_gets_the_end_and_harms_nobody(desk: Desk, feed: EventFeed, after: int) -> None:
    run = await desk.claimed(WORKER)
    beyond = asyncio.create_task(_followed(feed, run.run_id, after))
    beside = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: desk.queue.reads > 0)
    await desk.say(run, WORKER, 1, 2, end=SUCCESS)
    assert await beyond == [3]
    assert await beside == [1, 2, 3]


async def test_who_waits_for_the_end_alone_reads_the_end_alone(desk: Desk, feed: EventFeed) -> None:
    run = await desk.claimed(WORKER)
    waiting = asyncio.create_task(_followed(feed, run.run_id, ONLY_END))
    for first in (1, 101, 201):
        await desk.say(run, WORKER, *range(first, first + 100))
        feed.wake(str(run.run_id))
    await desk.say(run, WORKER, end=SUCCESS)
    feed.wake(str(run.run_id))
    assert await waiting == [301]
    assert desk.queue.read_rows == 1


async def test_a_slow_follower_is_bounded_holds_up_nobody_and_misses_nothing(
    desk: Desk, feed: EventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_BATCH", 50)
    monkeypatch.setattr(event_feed, "_BACKLOG", 100)
    run = await desk.claimed(WORKER)
    with feed.follow(run.run_id, 0) as slow:
        for first in range(1, 1001, 100):
            await desk.say(run, WORKER, *range(first, first + 100))
        await desk.say(run, WORKER, end=SUCCESS)
        assert await _followed(feed, run.run_id) == list(range(1, 1002))
        assert len(slow._waiting) <= 150
        assert await _all(slow) == list(range(1, 1002))


async def test_large_events_fill_a_follower_before_many_do(
    desk: Desk, feed: EventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_BATCH", 2)
    monkeypatch.setattr(event_feed, "_BACKLOG_CHARACTERS", 20)
    run = await desk.claimed(WORKER)
    await desk.say(run, WORKER, *range(1, 31), end=SUCCESS)
    with feed.follow(run.run_id, 0) as slow:
        await until(lambda: slow.is_full)
        assert slow._characters < 60
        assert await _all(slow) == list(range(1, 32))


async def test_a_follower_that_left_is_forgotten(desk: Desk, feed: EventFeed) -> None:
    run = await desk.claimed(WORKER)
    with feed.follow(run.run_id, 0):
        assert feed._followers
    assert not feed._followers


class _Away(CountingQueue):
    """A database that is away for the first two reads."""

    async def read_events(self, after, limit):
        found = await super().read_events(after, limit)
        if self.reads <= 2:
            raise OSError("away")
        return found


async def test_a_database_that_was_away_loses_no_event(desk: Desk) -> None:
    run = await desk.claimed(WORKER)
    await desk.say(run, WORKER, 1, end=SUCCESS)
    feed = EventFeed(_Away(desk.admin))
    feed.start()
    assert await _followed(feed, run.run_id) == [1, 2]
    await feed.stop()


async def test_the_end_of_a_run_that_is_deleted_reaches_its_followers(desk: Desk, feed: EventFeed) -> None:
    run = await desk.claimed(WORKER)
    following = asyncio.create_task(_followed(feed, run.run_id))
    await until(lambda: desk.queue.reads > 0)
    await desk.admin.execute("delete from agenthall.threads where thread_id = $1", run.thread_id)
    assert await following == [1]
    assert [row["event"] for row in await desk.events(run.run_id)] == [END]
