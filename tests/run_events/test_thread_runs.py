"""Finding the runs of followed threads: at once when notified, and at a cost that idle clients share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from uuid import UUID

import pytest
from run_queue_database import RunQueueDatabase, open_run_queue_database
from servers.live_server import until

from robyn_server.core.ids import new_id
from robyn_server.run_events import thread_runs as module
from robyn_server.run_events.thread_runs import ThreadRunFinder
from robyn_server.storage.runs.queue import BegunRun, RunQueue

START = UUID(int=0)


@pytest.fixture
async def queue_db(database: str) -> AsyncIterator[RunQueueDatabase]:
    async with open_run_queue_database(database) as queue_db:
        yield queue_db


class CountingQueue(RunQueue):
    """Counts the queries for threads."""

    asked: list[int]

    async def list_following(self, after: Mapping[UUID, UUID], limit: int) -> dict[UUID, list[BegunRun] | None]:
        self.asked.append(len(after))
        return await super().list_following(after, limit)


def finder_of(queue_db: RunQueueDatabase) -> tuple[ThreadRunFinder, CountingQueue]:
    queue = CountingQueue(queue_db.queue._pool)
    queue.asked = []
    return ThreadRunFinder(queue), queue


async def test_all_followed_threads_share_one_query(queue_db: RunQueueDatabase) -> None:
    finder, queue = finder_of(queue_db)
    threads = [(await queue_db.get_run(await queue_db.enqueue()))["thread_id"] for _ in range(5)]
    with (
        finder.subscribe(threads[0], START) as first,
        finder.subscribe(threads[1], START),
        finder.subscribe(threads[2], START),
        finder.subscribe(threads[2], START),
    ):
        finder.start()
        assert (await first.next_run()) is not None
        assert queue.asked[0] == 3
        finder.wake(str(threads[4]))
        finder.wake("garbage,")
        await until(lambda: len(queue.asked) >= 3)
        assert set(queue.asked) == {3}, "a notification about another thread costs nothing"
    await finder.stop()


async def test_a_notification_finds_a_run_at_once(queue_db: RunQueueDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 3600.0)
    finder, _ = finder_of(queue_db)
    thread = new_id()
    first = await queue_db.enqueue(thread_id=thread)
    finder.start()
    with finder.subscribe(thread, START) as subscription:
        assert await subscription.next_run() == BegunRun(first, is_active=True, is_ended=False)
        second = await queue_db.enqueue(thread_id=thread)
        await queue_db.queue.cancel_pending(second)
        finder.wake(str(thread))
        assert await subscription.next_run() == BegunRun(second, is_active=False, is_ended=True)
    await finder.stop()


async def test_a_deleted_thread_ends_its_subscription(queue_db: RunQueueDatabase) -> None:
    finder, _ = finder_of(queue_db)
    finder.start()
    with finder.subscribe(new_id(), START) as subscription:
        assert await subscription.next_run() is None
    await finder.stop()
