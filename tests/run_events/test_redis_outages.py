"""Runs go on when Redis does not: their events are in PostgreSQL then, and readers miss nothing, or are told what they
miss."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
from deadlines import DEADLINE
from event_transports import Transport, begun, open_redis, redis_options, written
from remote.valkey_server import ValkeyServer, requires_valkey, valkey_server
from run_queue_database import SUCCESS, RunQueueDatabase, open_run_queue_database
from servers.live_server import until

from robyn_server.core.ids import new_id
from robyn_server.core.runs import END, MISSING, EventTransport, RunEvent
from robyn_server.run_events import redis_source
from robyn_server.run_events.feeds import RunEventFeeds

pytestmark = requires_valkey
WORKER = new_id()


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture
async def queue_db(database: str) -> AsyncIterator[RunQueueDatabase]:
    async with open_run_queue_database(database) as queue_db:
        yield queue_db


@pytest.fixture
async def transport(queue_db: RunQueueDatabase, valkey: ValkeyServer) -> AsyncIterator[Transport]:
    async with open_redis(redis_options(valkey.url, f"{uuid4()}:", seconds=0.5)) as redis:
        yield Transport(EventTransport.REDIS, queue_db, redis)


def _is_up(transport: Transport) -> bool:
    assert transport.redis is not None
    return transport.redis.health.is_up


async def _follow(feeds: RunEventFeeds, run_id: UUID, after: int = 0) -> list[RunEvent]:
    async with asyncio.timeout(DEADLINE):
        with feeds.subscribe(run_id, after, EventTransport.REDIS) as subscription:
            return [event async for batch in subscription.batches() for event in batch]


def _sent(events: list[RunEvent]) -> list[str]:
    return [event.data for event in events if event.event not in {END, MISSING}]


def _missing(events: list[RunEvent]) -> list[tuple[int, int]]:
    notes = [json.loads(event.data)["missing_events"] for event in events if event.event == MISSING]
    return [(note["after"], note["before"]) for note in notes]


async def test_a_reader_misses_nothing_when_redis_is_killed_and_restarts_empty(
    transport: Transport, valkey: ValkeyServer
) -> None:
    async with transport.worker(WORKER) as sink, transport.replica() as web:
        run = await transport.claim(WORKER)
        following = asyncio.create_task(_follow(web, run.run_id))
        writer = await begun(sink, run)
        for number in range(10):
            await writer.emit("custom", b"%d" % number)
        await written(transport, run, 10)
        valkey.kill()
        for number in range(10, 20):
            await writer.emit("custom", b"%d" % number)
        await until(lambda: not _is_up(transport))
        valkey.start()
        await until(lambda: _is_up(transport))
        for number in range(20, 30):
            await writer.emit("custom", b"%d" % number)
        await writer.end(SUCCESS)
        events = await following
        assert _sent(events) == [str(number) for number in range(30)]
        assert _missing(events) == []
        # a run that is claimed now is in Redis again
        later = await transport.claim(WORKER)
        await (await begun(sink, later)).emit("custom", b"1")
        await written(transport, later, 1)
        assert await transport.db.get_events(later.run_id) == []


async def test_a_late_reader_is_told_which_events_redis_has_lost(transport: Transport, valkey: ValkeyServer) -> None:
    async with transport.worker(WORKER) as sink, transport.replica() as web:
        run = await transport.claim(WORKER)
        writer = await begun(sink, run)
        for number in range(10):
            await writer.emit("custom", b"%d" % number)
        await written(transport, run, 10)
        valkey.kill()
        valkey.start()
        for number in range(10, 20):
            await writer.emit("custom", b"%d" % number)
        await writer.end(SUCCESS)
        events = await _follow(web, run.run_id, 5)
        assert [event.event for event in events][:2] == [MISSING, "custom"]
        assert _missing(events) == [(5, 11)]
        assert _sent(events) == [str(number) for number in range(10, 20)]
        assert _sent(await _follow(web, run.run_id, events[0].seq)) == _sent(events), "it resumes after the note"


async def test_the_end_reaches_readers_when_all_events_are_lost(transport: Transport, valkey: ValkeyServer) -> None:
    async with transport.worker(WORKER) as sink, transport.replica() as web:
        run = await transport.claim(WORKER)
        writer = await begun(sink, run)
        for number in range(10):
            await writer.emit("custom", b"%d" % number)
        await writer.end(SUCCESS)
        assert transport.redis is not None
        await transport.redis.streams.delete([run.run_id])
        events = await _follow(web, run.run_id, 3)
        assert [event.event for event in events] == [MISSING, END]
        assert _missing(events) == [(3, 11)]
        assert [event.event for event in await _follow(web, run.run_id, 10)] == [END], (
            "nothing is missing after the last"
        )


async def test_the_end_reaches_readers_while_redis_is_away(
    transport: Transport, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_source, "_PATIENCE_SECONDS", 0.5)
    async with transport.worker(WORKER) as sink, transport.replica() as web:
        run = await transport.claim(WORKER)
        writer = await begun(sink, run)
        for number in range(10):
            await writer.emit("custom", b"%d" % number)
        await writer.end(SUCCESS)
        valkey.pause()
        try:
            await until(lambda: not _is_up(transport))
            complete, behind = await asyncio.gather(_follow(web, run.run_id, 10), _follow(web, run.run_id, 4))
            assert await web.last_seq_before_end(run.run_id, EventTransport.REDIS) >= 10
        finally:
            valkey.resume()
        assert [event.event for event in complete] == [END]
        assert [event.event for event in behind] == [MISSING, END]
        await until(lambda: _is_up(transport))
        assert _sent(await _follow(web, run.run_id)) == [str(number) for number in range(10)]


async def test_a_run_that_begins_while_redis_is_away_is_in_postgres(transport: Transport, valkey: ValkeyServer) -> None:
    async with transport.worker(WORKER) as sink, transport.replica() as web:
        valkey.kill()
        await until(lambda: not _is_up(transport))
        assert web.transport_for_new is EventTransport.POSTGRES
        run = await transport.claim(WORKER)
        following = asyncio.create_task(_follow(web, run.run_id))
        writer = await begun(sink, run)
        await writer.emit("custom", b"1")
        valkey.start()
        await until(lambda: _is_up(transport))
        await writer.emit("custom", b"2")
        await writer.end(SUCCESS)
        assert _sent(await following) == ["1", "2"]
        assert web.transport_for_new is EventTransport.REDIS


async def test_a_worker_without_renewed_leases_asks_the_database(transport: Transport) -> None:
    async with transport.worker(WORKER) as sink:
        run = await transport.claim(WORKER)
        writer = await begun(sink, run)
        await transport.lapse(run)
        transport.is_leased = False
        await writer.emit("custom", b'"too late"')
        await until(lambda: transport.lost == {(run.run_id, 1)})
        assert await transport.stored(run.run_id) == []


async def test_a_fault_of_the_writer_is_as_a_redis_that_is_away(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with transport.worker(WORKER) as sink, transport.replica() as web:
        run = await transport.claim(WORKER)
        writer = await begun(sink, run)
        assert transport.redis is not None
        monkeypatch.setattr(transport.redis.streams, "append", fail)
        monkeypatch.setattr(transport.redis.streams, "expire", fail)
        for number in range(5):
            await writer.emit("custom", b"%d" % number)
        await writer.end(SUCCESS)
        assert _sent(await _follow(web, run.run_id)) == [str(number) for number in range(5)]


async def test_an_event_that_redis_has_no_room_for_is_in_postgres(queue_db: RunQueueDatabase) -> None:
    with valkey_server("--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as small:
        async with open_redis(redis_options(small.url, "small:")) as redis:
            transport = Transport(EventTransport.REDIS, queue_db, redis)
            async with transport.worker(WORKER) as sink, transport.replica() as web:
                run = await transport.claim(WORKER)
                writer = await begun(sink, run)
                texts = [str(number) * 600_000 for number in range(5)]
                for text in texts:
                    await writer.emit("values", f'"{text}"'.encode())
                await writer.end(SUCCESS)
                assert _sent(await _follow(web, run.run_id)) == [f'"{text}"' for text in texts]
                assert len(await queue_db.get_events(run.run_id)) > 2


async def test_runs_wait_when_redis_does_not_keep_up(
    transport: Transport, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robyn_server.run_events.redis_sink._BACKLOG", 100)
    async with transport.worker(WORKER) as sink:
        run = await transport.claim(WORKER)
        writer = await begun(sink, run)
        valkey.pause()
        try:
            emitting = asyncio.create_task(_emit(writer.emit, 300))
            await until(lambda: sink._events >= 100)  # type: ignore[attr-defined]
            for _ in range(50):
                await asyncio.sleep(0)
            assert not emitting.done()
            async with asyncio.timeout(DEADLINE):
                await emitting
        finally:
            valkey.resume()
        await writer.end(SUCCESS)
        assert len(await transport.db.get_events(run.run_id)) == 302


async def _emit(emit: object, count: int) -> None:
    for number in range(count):
        await emit("custom", b"%d" % number)  # type: ignore[operator]
        await asyncio.sleep(0)
