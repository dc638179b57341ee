"""Writes the events of runs to Redis, and to PostgreSQL when Redis does not take them.

Rules
  1. An event is in Redis, in PostgreSQL, or in both. Its number tells readers that two are the same.
  2. When Redis fails, the open runs go on in PostgreSQL until their attempts are over. Runs that are claimed later use
     Redis as soon as it answers again.
  3. A run that goes on in PostgreSQL has its latest events written there, too: a Redis that restarts, or hands over to
     a replica, may have lost what it had accepted.
  4. Redis cannot know of a lease that was lost before the next attempt began. A worker whose leases are not renewed in
     time asks the database, which refuses the events.
  5. Ends go to the database only, after all events of their run are written.
  6. Nothing stops the writer: a fault is as a Redis that does not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import AgenthallError, Unavailable
from robyn_server.core.runs import ClaimedRun, EventTransport, RunEnd, RunEvent
from robyn_server.metrics.definitions import EVENT_FALLBACKS, EVENT_WRITE_SECONDS, EVENTS_WAITING, EVENTS_WRITTEN
from robyn_server.redis_streams.connection import RedisConnection
from robyn_server.storage.runs.queue import RunLease

from .open_run import OpenRun
from .pacing import pause_after
from .writer import EventWriter

_LARGEST_FLUSH = 1_000
_FLUSH_CHARACTERS = 4_000_000
"""A flush ends with the event that exceeds it."""
_BACKLOG = 10_000
_BACKLOG_CHARACTERS = 8_000_000
"""Events, and characters of events, that may wait for Redis. Beyond it, runs wait."""
_KEEP_SECONDS = 600.0
"""Between two signs of life for the streams of silent runs."""

_log = structlog.get_logger(__name__)


class RedisEventWriter:
    """The sink of Redis, and of PostgreSQL for other runs.

    `is_leased`: whether the worker's leases were renewed in time.
    """

    def __init__(
        self,
        postgres: EventWriter,
        redis: RedisConnection,
        is_leased: Callable[[], bool],
        on_lost: Callable[[set[RunLease]], None],
    ) -> None:
        self._postgres = postgres
        self._streams = redis.streams
        self._health = redis.health
        self._is_leased = is_leased
        self._on_lost = on_lost
        self._open: dict[RunLease, OpenRun] = {}
        self._ended: set[UUID] = set()
        self._events = 0
        self._characters = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._keeping = Periodic("streams of silent runs", self._keep, _KEEP_SECONDS)

    def start(self) -> None:
        EVENTS_WAITING.set_function(lambda: self._events, EventTransport.REDIS)
        self._health.start()
        self._postgres.start()
        self._keeping.start()
        self._task = asyncio.create_task(self._loop(), name="redis event writer")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for stop in (self._keeping.stop, self._postgres.stop, self._health.stop):
            await stop()

    async def settle(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
                await self._postgres.settle(seconds)

    async def begin(self, run: ClaimedRun) -> int:
        if run.event_transport is not EventTransport.REDIS or not self._health.is_up:
            return run.last_seq
        seq: int | None = run.last_seq
        if run.attempt > 1:
            try:
                seq = await self._streams.begin(run.run_id, run.attempt, run.last_seq)
            except AgenthallError as error:
                self._health.report_failure(error)
                return run.last_seq
        if seq is None:
            self._on_lost({(run.run_id, run.attempt)})
            return run.last_seq
        opened = OpenRun(run)
        opened.is_empty.set()
        self._open[opened.lease] = opened
        return seq

    async def add(self, run: ClaimedRun, event: RunEvent) -> None:
        opened = self._open.get((run.run_id, run.attempt))
        if opened is None:
            return await self._postgres.add(run, event)
        opened.waiting.append(event)
        opened.is_empty.clear()
        self._count(1, len(event.data))
        self._idle.clear()
        self._arrived.set()
        if self._events >= _BACKLOG or self._characters >= _BACKLOG_CHARACTERS:
            self._room.clear()
            await self._room.wait()
        return None

    async def end(self, run: ClaimedRun, end: RunEnd, last_seq: int) -> None:
        opened = self._open.get((run.run_id, run.attempt))
        if opened is not None:
            await opened.is_empty.wait()
        await self._postgres.end(run, end, last_seq)
        if run.event_transport is EventTransport.REDIS:
            self._ended.add(run.run_id)
            self._arrived.set()

    def close(self, run: ClaimedRun) -> None:
        opened = self._open.get((run.run_id, run.attempt))
        if opened is not None:
            opened.is_closed = True
            self._drop_if_done(opened)

    def _drop_if_done(self, opened: OpenRun) -> None:
        if opened.is_closed and opened.is_empty.is_set():
            self._open.pop(opened.lease, None)

    def _count(self, events: int, characters: int) -> None:
        self._events += events
        self._characters += characters

    async def _loop(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._next_batch():
                pause = pause_after(sum(len(each.in_flight) for each in batch))
                began = time.monotonic()
                await self._write(batch)
                self._room.set()
                await asyncio.sleep(max(0.0, began + pause - time.monotonic()))
            self._idle.set()
            await self._expire()

    def _next_batch(self) -> list[OpenRun]:
        batch = []
        room, characters = _LARGEST_FLUSH, _FLUSH_CHARACTERS
        for opened in self._open.values():
            if not opened.waiting or room <= 0 or characters <= 0:
                continue
            events = opened.take(room, characters)
            room -= len(events)
            characters -= sum(len(event.data) for event in events)
            batch.append(opened)
        if batch:  # those of which nothing was taken come first the next time
            for opened in batch:
                self._open[opened.lease] = self._open.pop(opened.lease)
        return batch

    async def _write(self, batch: list[OpenRun]) -> None:
        began = time.monotonic()
        try:
            if not self._is_leased():
                return self._fall_back(list(self._open.values()), "the worker's leases were not renewed in time")
            answers = await self._streams.append([(*each.lease, each.in_flight) for each in batch])
        except AgenthallError as error:
            self._health.report_failure(error)
            return self._fall_back(list(self._open.values()), error.detail)
        except Exception as error:  # noqa: BLE001 - rule 6
            _log.exception("a write to Redis failed")
            return self._fall_back(list(self._open.values()), type(error).__name__)
        EVENT_WRITE_SECONDS.observe(time.monotonic() - began, EventTransport.REDIS)
        for opened, answer in zip(batch, answers, strict=True):
            if answer.error is not None:
                self._health.report_failure(Unavailable(answer.error))
                self._fall_back([opened], answer.error)
            elif answer.is_fenced:
                self._lose(opened)
            else:
                self._confirm(opened)
        return None

    def _confirm(self, opened: OpenRun) -> None:
        EVENTS_WRITTEN.inc(EventTransport.REDIS, by=len(opened.in_flight))
        self._count(-len(opened.in_flight), -sum(len(event.data) for event in opened.in_flight))
        opened.confirm()
        self._drop_if_done(opened)

    def _lose(self, opened: OpenRun) -> None:
        self._remove(opened)
        self._on_lost({opened.lease})

    def _fall_back(self, runs: Iterable[OpenRun], reason: str) -> None:
        """Rules 2 and 3. Without waiting, so that no event of a run comes in between."""
        moved = 0
        for opened in runs:
            moved += 1
            events = [event for _, event in opened.recent] + self._remove(opened)
            self._postgres.put(opened.run, events)
        EVENT_FALLBACKS.inc(by=moved)
        _log.warning("runs go on with their events in PostgreSQL", runs=moved, reason=reason)

    def _remove(self, opened: OpenRun) -> list[RunEvent]:
        """Remove a run, and return its events that Redis has not confirmed."""
        left = opened.take_all()
        self._count(-len(left), -sum(len(event.data) for event in left))
        self._open.pop(opened.lease, None)
        return left

    async def _expire(self) -> None:
        ended, self._ended = self._ended, set()
        await self._tell(self._streams.expire, ended)

    async def _keep(self) -> None:
        await self._tell(self._streams.keep, {run_id for run_id, _ in self._open})

    async def _tell(self, tell: Callable[[Iterable[UUID]], Awaitable[None]], run_ids: set[UUID]) -> None:
        """Change the life of streams, if Redis answers. Without that they live for an hour."""
        if not run_ids or not self._health.is_up:
            return
        try:
            await tell(run_ids)
        except AgenthallError as error:
            self._health.report_failure(error)
        except Exception:  # noqa: BLE001 - rule 6
            _log.exception("a stream's life was not changed")
