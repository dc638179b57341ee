"""Follow all runs of a thread, one after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.core.runs import EventTransport, RunEvent
from robyn_server.run_events.feeds import RunEventFeeds
from robyn_server.run_events.thread_runs import ThreadRunFinder
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.runs.runs import Runs
from robyn_server.storage.threads import Threads


@dataclass(frozen=True, slots=True)
class ThreadPosition:
    """An event of a run: the run, and the event's number."""

    run_id: UUID
    seq: int


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a reader begins in a run."""

    run_id: UUID
    seq: int
    event_transport: EventTransport


@dataclass(frozen=True, slots=True)
class ThreadStreamStart:
    """Where a stream begins: with the runs that are newer than `after`, and before them with the rest of the run
    `within`."""

    thread_id: UUID
    after: UUID
    within: _Start | None


@dataclass(frozen=True, slots=True)
class RunPart:
    """Events of one run in order, the last of them perhaps its end. `begins`: they are its first."""

    run_id: UUID
    events: Sequence[RunEvent]
    begins: bool


class ThreadStreamService:
    def __init__(
        self, runs: Runs, queue: RunQueue, threads: Threads, events: RunEventFeeds, finder: ThreadRunFinder
    ) -> None:
        self._runs = runs
        self._queue = queue
        self._threads = threads
        self._events = events
        self._finder = finder

    async def check(self, principal: Principal, thread_id: UUID) -> None:
        """Raises NotFound."""
        if await self._threads.find(principal, thread_id) is None:
            raise NotFound(f"Thread with ID {thread_id} not found")

    async def find_start(
        self, principal: Principal, thread_id: UUID, position: ThreadPosition | None
    ) -> ThreadStreamStart:
        """Where a stream begins: after `position`, or without one, now. The caller has checked access to the thread."""
        newest, running = await self._queue.thread_position(thread_id)
        within = await self._named(principal, thread_id, position) if position else await self._tail(running)
        return ThreadStreamStart(thread_id, position.run_id if position else newest or UUID(int=0), within)

    async def follow(self, start: ThreadStreamStart) -> AsyncGenerator[RunPart, None]:
        """Yield the events from `start` on. Ends when the thread is deleted."""
        known = [] if start.within is None else [start.within.run_id]
        with self._finder.subscribe(start.thread_id, start.after, known) as subscription:
            if start.within is not None:
                async for part in self._parts(start.within, begins=False):
                    yield part
            while (run := await subscription.next_run()) is not None:
                if run.is_ended and not await self._queue.last_seq(run.run_id):
                    continue  # its events are not kept any more
                async for part in self._parts(_Start(run.run_id, 0, run.event_transport), begins=True):
                    yield part

    async def _tail(self, running: tuple[UUID, EventTransport] | None) -> _Start | None:
        """The newest event of the running run. None for one without events, which comes from its beginning."""
        newest = 0 if running is None else await self._events.last_seq_before_end(*running)
        return None if running is None or newest == 0 else _Start(running[0], newest, running[1])

    async def _named(self, principal: Principal, thread_id: UUID, position: ThreadPosition) -> _Start | None:
        """The position, if its run is of the thread and has more events."""
        run = await self._runs.find_to_follow(principal, thread_id, position.run_id)
        if run is None:
            return None
        start = _Start(run.run_id, position.seq, run.event_transport)
        is_open = run.status in ("pending", "running")
        return start if is_open or await self._queue.last_seq(run.run_id) > position.seq else None

    async def _parts(self, start: _Start, *, begins: bool) -> AsyncIterator[RunPart]:
        with self._events.subscribe(start.run_id, start.seq, start.event_transport) as subscription:
            async for batch in subscription.batches():
                yield RunPart(start.run_id, batch, begins)
                begins = False
