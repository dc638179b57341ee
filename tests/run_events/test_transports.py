"""The contract of `run_events/transport.py`, which every transport of run events keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from deadlines import DEADLINE
from event_transports import Transport, begun, open_redis, redis_options, written
from remote.valkey_server import ValkeyServer, requires_valkey, valkey_server
from run_queue_database import SUCCESS, open_run_queue_database
from servers.live_server import until

from robyn_server.core.access.principal import Principal
from robyn_server.core.ids import new_id
from robyn_server.core.runs import END, EventTransport, RunEvent, parse_event_id
from robyn_server.run_events import reader
from robyn_server.run_events.feeds import RunEventFeeds
from robyn_server.storage.runs.queue import ONLY_END

ONE, TWO = new_id(), new_id()


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture(params=["postgres", pytest.param("redis", marks=requires_valkey)])
async def transport(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Transport]:
    async with open_run_queue_database(database) as queue_db:
        if request.param == "postgres":
            yield Transport(EventTransport.POSTGRES, queue_db, None)
            return
        valkey: ValkeyServer = request.getfixturevalue("valkey")
        async with open_redis(redis_options(valkey.url, f"{uuid4()}:")) as redis:
            yield Transport(EventTransport.REDIS, queue_db, redis)


async def follow(feeds: RunEventFeeds, transport: Transport, run_id: UUID, after: int = 0) -> list[RunEvent]:
    """All events of a run after a seq, up to its end."""
    found = []
    async with asyncio.timeout(DEADLINE):
        with feeds.subscribe(run_id, after, transport.kind) as subscription:
            async for batch in subscription.batches():
                found += batch
    return found


def sent(events: list[RunEvent]) -> list[str]:
    return [event.data for event in events if event.event != END]


async def test_events_arrive_in_order_and_the_end_comes_last(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run = await transport.claim(ONE)
        following = asyncio.create_task(follow(web, transport, run.run_id))
        writer = await begun(sink, run)
        for number in range(500):
            await writer.emit("custom", b"%d" % number)
        await writer.end(SUCCESS)
        events = await following
    assert sent(events) == [str(number) for number in range(500)]
    assert [event.event for event in events].index(END) == 500
    assert [event.event_id for event in events[:3]] == ["1-1", "1-2", "1-3"]


async def test_a_reader_resumes_after_any_event_by_its_id(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run = await transport.claim(ONE)
        writer = await begun(sink, run)
        for number in range(20):
            await writer.emit("custom", b"%d" % number)
        await writer.end(SUCCESS)
        everything = await follow(web, transport, run.run_id)
        for position, event in enumerate(everything[:-1], 1):
            after = parse_event_id(event.event_id)
            assert after is not None
            assert await follow(web, transport, run.run_id, after) == everything[position:]
        newest = await web.last_seq_before_end(run.run_id, transport.kind)
        assert sent(await follow(web, transport, run.run_id, newest)) == []


async def test_no_reader_waits_for_a_poll(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_POLL_SECONDS", 10 * DEADLINE)
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run = await transport.claim(ONE)
        following = asyncio.create_task(follow(web, transport, run.run_id))
        writer = await begun(sink, run)
        for number in range(3_000):
            await writer.emit("custom", b"%d" % number)
            await asyncio.sleep(0)
        await writer.end(SUCCESS)
        assert sent(await following) == [str(number) for number in range(3_000)]


async def test_readers_of_several_replicas_get_the_same_events(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web, transport.replica() as other:
        run = await transport.claim(ONE)
        following = [asyncio.create_task(follow(each, transport, run.run_id)) for each in (web, other) * 10]
        writer = await begun(sink, run)
        for number in range(100):
            await writer.emit("custom", b"%d" % number)
            await asyncio.sleep(0)
        await writer.end(SUCCESS)
        first, *others = await asyncio.gather(*following)
    assert len(first) == 101
    assert all(each == first for each in others)


async def test_an_attempt_that_is_over_adds_nothing(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.worker(TWO) as successor, transport.replica() as web:
        run = await transport.claim(ONE)
        writer = await begun(sink, run)
        await writer.emit("custom", b'"before"')
        await written(transport, run, 1)
        await transport.lapse(run)
        again = await transport.claim_next(TWO)
        assert again.attempt == 2
        later = await begun(successor, again)
        await writer.emit("custom", b'"too late"')
        await until(lambda: transport.lost == {(run.run_id, 1)})
        await later.emit("custom", b'"after"')
        await later.end(SUCCESS)
        await writer.end(SUCCESS)
        events = await follow(web, transport, run.run_id)
    assert sent(events) == ['"before"', '"after"']
    assert [event.attempt for event in events] == [1, 2, 2]
    assert events[1].seq > events[0].seq
    assert "too late" not in str(await transport.stored(run.run_id))


async def test_a_reader_goes_on_from_one_attempt_to_the_next(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.worker(TWO) as successor, transport.replica() as web:
        run = await transport.claim(ONE)
        following = asyncio.create_task(follow(web, transport, run.run_id))
        writer = await begun(sink, run)
        for number in range(3):
            await writer.emit("custom", b"%d" % number)
        await written(transport, run, 3)
        await transport.db.queue.release(ONE, drained=True)
        later = await begun(successor, await transport.claim_next(TWO))
        await later.emit("custom", b"3")
        await later.end(SUCCESS)
        events = await following
        assert sent(events) == ["0", "1", "2", "3"]
        assert await follow(web, transport, run.run_id, events[2].seq) == events[3:]


async def test_a_run_that_the_database_ends_ends_its_streams(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run_id = await transport.db.enqueue(event_transport=transport.kind, max_attempts=1)
        run = await transport.claim_next(ONE)
        following = asyncio.create_task(follow(web, transport, run_id))
        await (await begun(sink, run)).emit("custom", b'"before"')
        await written(transport, run, 1)
        await transport.db.admin.execute("update agenthall.runs set lease_until = now() - interval '1 second'")
        assert await transport.db.queue.rescue() == (0, 1)
        assert [event.event for event in await following] == ["custom", "error", END]
        assert [event.event for event in await follow(web, transport, run_id)] == ["custom", "error", END]


async def test_a_run_that_never_began_ends_its_streams(transport: Transport) -> None:
    async with transport.replica() as web:
        run_id = await transport.db.enqueue(event_transport=transport.kind)
        following = asyncio.create_task(follow(web, transport, run_id))
        await transport.db.queue.cancel_pending(run_id)
        assert [event.event for event in await following] == [END]


async def test_a_follower_of_the_end_gets_only_that(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run = await transport.claim(ONE)
        writer = await begun(sink, run)
        await writer.emit("custom", b"1")
        await writer.end(SUCCESS)
        with web.subscribe_to_end(run.run_id) as subscription:
            async with asyncio.timeout(DEADLINE):
                assert [event.event async for batch in subscription.batches() for event in batch] == [END]
        assert [event.event for event in await follow(web, transport, run.run_id, ONLY_END)] == [END]


async def test_events_are_deleted_some_time_after_the_end(transport: Transport) -> None:
    async with transport.worker(ONE) as sink:
        going, gone = await transport.claim(ONE), await transport.claim(ONE)
        writers = [await begun(sink, run) for run in (going, gone)]
        for writer in writers:
            await writer.emit("custom", b"1")
        await writers[1].end(SUCCESS)
        await written(transport, going, 1)
        swept = await transport.db.queue.sweep_events(timedelta(0))
        if transport.redis is not None:
            await transport.redis.delete_swept(list(swept))
        assert await transport.stored(gone.run_id) == []
        assert sent(await transport.stored(going.run_id)) == ["1"]


async def test_a_deleted_run_ends_its_streams_and_is_swept(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run = await transport.claim(ONE)
        following = asyncio.create_task(follow(web, transport, run.run_id))
        await (await begun(sink, run)).emit("custom", b"1")
        await written(transport, run, 1)
        await transport.db.admin.execute("delete from agenthall.threads where thread_id = $1", run.thread_id)
        events = await following
        assert [event.event for event in events] == ["custom", END]
        swept = await transport.db.queue.sweep_events(timedelta(0))
        assert list(swept) == [run.run_id]


async def test_only_the_database_says_who_may_read(transport: Transport) -> None:
    run = await transport.claim(ONE)
    stranger = Principal("stranger", frozenset(), frozenset())
    assert await transport.db.runs.find_to_follow(stranger, None, run.run_id) is None
    own = Principal(run.owner_id, frozenset(), frozenset())
    found = await transport.db.runs.find_to_follow(own, None, run.run_id)
    assert found is not None and found.event_transport is transport.kind


async def test_large_events_arrive_whole(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run = await transport.claim(ONE)
        following = asyncio.create_task(follow(web, transport, run.run_id))
        writer = await begun(sink, run)
        texts = ["é" * 700_000, "x" * 3_000_000, "small", *("y" * 400_000 for _ in range(5))]
        for text in texts:
            await writer.emit("values", f'"{text}"'.encode())
        await writer.end(SUCCESS)
        assert sent(await following) == [f'"{text}"' for text in texts]


async def test_a_slow_reader_gets_everything(transport: Transport) -> None:
    async with transport.worker(ONE) as sink, transport.replica() as web:
        run = await transport.claim(ONE)
        with web.subscribe(run.run_id, 0, transport.kind) as subscription:
            writer = await begun(sink, run)
            for number in range(6_000):
                await writer.emit("custom", b"%d" % number)
            await writer.end(SUCCESS)
            await until(lambda: subscription.is_full)
            async with asyncio.timeout(DEADLINE):
                found = [event async for batch in subscription.batches() for event in batch]
        assert sent(found) == [str(number) for number in range(6_000)]


async def test_what_was_emitted_before_a_release_is_written(transport: Transport) -> None:
    async with transport.worker(ONE) as sink:
        run = await transport.claim(ONE)
        writer = await begun(sink, run)
        for number in range(50):
            await writer.emit("custom", b"%d" % number)
        writer.close()
        await sink.settle(DEADLINE)
        assert sent(await transport.stored(run.run_id)) == [str(number) for number in range(50)]
