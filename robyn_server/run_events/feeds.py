"""The readers of a web process: one for each transport, because a run keeps the transport with which it was
enqueued."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from uuid import UUID

from robyn_server.core.errors import Unavailable
from robyn_server.core.runs import EventTransport
from robyn_server.storage.runs.queue import ONLY_END

from .reader import RunEventReader, RunSubscription

if TYPE_CHECKING:
    from .redis_feed import RedisFeed

_NO_REDIS = "The events of this run are in Redis, and this process has no REDIS_URL."


class RunEventFeeds:
    """`redis`: None in a process without REDIS_URL.

    It can read the end of a run whose events are there, and nothing else of it.
    """

    def __init__(self, postgres: RunEventReader, redis: RedisFeed | None = None) -> None:
        self._postgres = postgres
        self._redis = redis

    def start(self) -> None:
        self._postgres.start()
        if self._redis is not None:
            self._redis.start()

    async def stop(self) -> None:
        if self._redis is not None:
            await self._redis.stop()
        await self._postgres.stop()

    @property
    def transport_for_new(self) -> EventTransport:
        """Where the events of a run are to be that is enqueued now."""
        is_redis = self._redis is not None and self._redis.takes_new_runs
        return EventTransport.REDIS if is_redis else EventTransport.POSTGRES

    def wake(self, payload: str) -> None:
        """Handle a notification of the database; `payload` is a comma-separated list of run ids."""
        self._postgres.wake(payload)
        if self._redis is not None:
            self._redis.wake(payload)

    def wake_all(self) -> None:
        self._postgres.wake_all()
        if self._redis is not None:
            self._redis.wake_all()

    def subscribe(self, run_id: UUID, after: int, transport: EventTransport) -> AbstractContextManager[RunSubscription]:
        """Subscribe to the events of a run after a seq. Raises Unavailable where they cannot be read."""
        return self._reader(transport).subscribe(run_id, after)

    def subscribe_to_end(self, run_id: UUID) -> AbstractContextManager[RunSubscription]:
        """Subscribe to the end of a run, which is in the database for every transport."""
        return self._postgres.subscribe(run_id, ONLY_END)

    async def last_seq_before_end(self, run_id: UUID, transport: EventTransport) -> int:
        """The seq of the newest event before the end; 0 without one. Raises Unavailable."""
        return await self._reader(transport).source.last_seq_before_end(run_id)

    def check_readable(self, transport: EventTransport) -> None:
        """Raises Unavailable where events of this transport cannot be read."""
        self._reader(transport)

    def _reader(self, transport: EventTransport) -> RunEventReader:
        if transport is EventTransport.POSTGRES:
            return self._postgres
        if self._redis is None:
            raise Unavailable(_NO_REDIS, code="redis_unavailable")
        return self._redis.reader
