"""Both transports of run events, as a worker and web processes have them, for the tests of their contract."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from run_queue_database import MINUTE, RunQueueDatabase
from servers.live_server import until

from robyn_server.core.runs import ClaimedRun, EventTransport, RunEvent
from robyn_server.redis_streams.connection import RedisConnection, open_connection
from robyn_server.redis_streams.options import RedisOptions
from robyn_server.run_events.feeds import RunEventFeeds
from robyn_server.run_events.reader import RunEventReader
from robyn_server.run_events.redis_feed import RedisFeed
from robyn_server.run_events.redis_sink import RedisEventWriter
from robyn_server.run_events.run_writer import RunWriter
from robyn_server.run_events.transport import EventSink
from robyn_server.run_events.writer import EventWriter
from robyn_server.storage.postgres.notify import EVENTS, Listener, Notifier
from robyn_server.storage.runs.queue import RunLease


class Sink(EventSink, Protocol):
    def start(self) -> None: ...
    async def stop(self) -> None: ...


class Transport:
    """A database, and Redis for the transport that needs it. Opens workers' ends and web processes' ends."""

    def __init__(self, kind: EventTransport, queue_db: RunQueueDatabase, redis: RedisConnection | None) -> None:
        self.kind = kind
        self.db = queue_db
        self.redis = redis
        self.lost: set[RunLease] = set()
        self.is_leased = True

    @contextlib.asynccontextmanager
    async def worker(self, worker_id: UUID) -> AsyncIterator[Sink]:
        """A worker's sink. The leases that it finds to be lost are in `lost`."""
        notifier = Notifier(self.db.url, "test worker")
        notifier.start()
        sink: Sink = EventWriter(self.db.queue, notifier, worker_id, self.lost.update)
        if self.redis is not None:
            sink = RedisEventWriter(sink, self.redis, lambda: self.is_leased, self.lost.update)  # type: ignore[arg-type]
        sink.start()
        try:
            yield sink
        finally:
            await sink.stop()
            await notifier.stop()

    @contextlib.asynccontextmanager
    async def replica(self) -> AsyncIterator[RunEventFeeds]:
        """The feeds of a web process, with its listener."""
        postgres = RunEventReader(self.db.queue)
        redis = None if self.redis is None else RedisFeed(self.redis, self.db.queue, is_for_new=True)
        feeds = RunEventFeeds(postgres, redis)
        listener = Listener(self.db.url, "test web", {EVENTS: feeds.wake}, feeds.wake_all)
        before = await self._listening()
        feeds.start()
        listener.start()
        try:
            await until(lambda: listener.connected)
            await until(lambda: self._has_more(before))
            yield feeds
        finally:
            await listener.stop()
            await feeds.stop()

    async def _listening(self) -> int:
        """Count the web processes that listen to the channel of Redis."""
        if self.redis is None:
            return 0
        ((_, count),) = await self.redis._client.pubsub_numsub(self.redis.streams.channel)
        return int(count)

    async def _has_more(self, before: int) -> bool:
        return self.redis is None or await self._listening() > before

    async def claim(self, worker_id: UUID) -> ClaimedRun:
        await self.db.enqueue(event_transport=self.kind)
        return await self.claim_next(worker_id)

    async def claim_next(self, worker_id: UUID) -> ClaimedRun:
        (run,) = await self.db.queue.claim(worker_id, 1, MINUTE, ["echo"])
        return run

    async def lapse(self, run: ClaimedRun) -> None:
        """Take the run from its worker, as happens when the lease was not renewed."""
        await self.db.admin.execute(
            "update agenthall.runs set lease_until = now() - interval '1 second' where run_id = $1", run.run_id
        )
        assert await self.db.queue.rescue() == (1, 0)

    async def stored(self, run_id: UUID) -> list[RunEvent]:
        """Everything that is stored of a run, wherever it is."""
        rows = await self.db.queue.read_events({run_id: 0}, 10_000)
        if self.redis is None:
            return rows.get(run_id, [])
        pages = await self.redis.streams.read({run_id: 0}, 10_000, 100_000_000)
        return [*pages[run_id].events, *rows.get(run_id, [])]


async def begun(sink: Sink, run: ClaimedRun) -> RunWriter:
    writer = RunWriter(sink, run)
    await writer.begin()
    return writer


def redis_options(url: str, prefix: str, *, seconds: float = 20.0, most: int = 0) -> RedisOptions:
    return RedisOptions(
        url=url, prefix=prefix, seconds=seconds, connections=8, most_events=most, event_ttl=timedelta(seconds=120)
    )


@contextlib.asynccontextmanager
async def open_redis(options: RedisOptions) -> AsyncIterator[RedisConnection]:
    connection = await open_connection(options, "test")
    try:
        yield connection
    finally:
        await connection.close()


async def written(transport: Transport, run: ClaimedRun, count: int) -> None:
    """Wait until so many events of the run are stored."""

    async def are_stored() -> bool:
        return len(await transport.stored(run.run_id)) >= count

    await until(are_stored)
