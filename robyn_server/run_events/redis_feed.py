"""The reader of runs whose events are in Redis, with the services that it needs."""

from __future__ import annotations

from robyn_server.redis_streams.connection import RedisConnection
from robyn_server.storage.postgres.notify import ids_in
from robyn_server.storage.runs.queue import RunQueue

from .reader import RunEventReader
from .redis_source import RedisEventSource


class RedisFeed:
    """`is_for_new`: whether new runs are to have their events in Redis."""

    def __init__(self, connection: RedisConnection, queue: RunQueue, *, is_for_new: bool) -> None:
        self._health = connection.health
        self._source = RedisEventSource(connection.streams, queue, connection.health)
        self._is_for_new = is_for_new
        self.reader = RunEventReader(self._source, self._source.look_everywhere, self._source.look_for)
        self._wakeups = connection.wakeups(self.reader.wake, self.reader.wake_all)

    def start(self) -> None:
        self._health.start()
        self.reader.start()
        self._wakeups.start()

    async def stop(self) -> None:
        for stop in (self._wakeups.stop, self.reader.stop, self._health.stop):
            await stop()

    @property
    def takes_new_runs(self) -> bool:
        return self._is_for_new and self._health.is_up

    @property
    def is_up(self) -> bool:
        return self._health.is_up

    def wake(self, payload: str) -> None:
        """Handle a notification of the database."""
        for run_id in ids_in(payload):
            self._source.look_for(run_id)
        self.reader.wake(payload)

    def wake_all(self) -> None:
        self.reader.wake_all()
