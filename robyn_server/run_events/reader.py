"""Reads run events for web processes: from one source, woken by notifications, and once a second without them.

One read is for all subscribed runs of this process, however many clients wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from robyn_server.concurrency.periodic import Periodic
from robyn_server.concurrency.subscriptions import Subscriptions
from robyn_server.core.runs import END, RunEvent
from robyn_server.storage.postgres.notify import ids_in
from robyn_server.storage.runs.queue import LARGEST_READ, ONLY_END

from .pacing import PAUSE_BETWEEN_STREAMS, streams_at_once
from .transport import EventSource

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS = 1.0
_LONGEST_BACKOFF = 5.0
_BATCH = 200
_LARGE_BATCH = LARGEST_READ // 4
"""Characters from which a batch may have been cut: one has at most four bytes."""
_BACKLOG = 2_000
_BACKLOG_CHARACTERS = 8_000_000
"""Characters buffered for one slow client. Beyond it no more events are read for the client until it has caught up."""


class RunSubscription:
    """One client's position in one run. Iterate over `batches`; they end after the event `__end__`."""

    def __init__(self, run_id: UUID, after: int, resume: Callable[[UUID], None]) -> None:
        self.run_id = run_id
        self.after = min(after, ONLY_END)
        self._resume = resume
        self._waiting: deque[RunEvent] = deque()
        self._characters = 0
        self._arrived = asyncio.Event()
        self._has_end = False

    @property
    def is_full(self) -> bool:
        return self._has_end or len(self._waiting) >= _BACKLOG or self._characters >= _BACKLOG_CHARACTERS

    def add(self, events: list[RunEvent], read_after: int) -> bool:
        """Buffer events that were read after `read_after`. Returns whether the client gets some, and waits for more.

        Ignores them when they would leave a gap, or when it is full.
        """
        if self.is_full or self.after < read_after:
            return False
        fresh = [event for event in events if event.seq > self.after or event.event == END]
        if fresh:
            self.after = max(self.after, fresh[-1].seq)
            self._has_end = fresh[-1].event == END
            self._waiting.extend(fresh)
            self._characters += sum(len(event.data) for event in fresh)
            self._arrived.set()
        return bool(fresh) and not self._has_end

    async def batches(self) -> AsyncIterator[list[RunEvent]]:
        """Yield buffered events in order. The last batch ends with `__end__`."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, was_full = list(self._waiting), self.is_full
            self._waiting.clear()
            self._characters = 0
            if was_full:
                self._resume(self.run_id)
            yield batch
            if batch and batch[-1].event == END:
                return


class RunEventReader:
    """`on_poll`: called before a read of all runs that no notification caused. `on_subscribe`: called with the run."""

    def __init__(
        self,
        source: EventSource,
        on_poll: Callable[[], object] = lambda: None,
        on_subscribe: Callable[[UUID], object] = lambda _: None,
    ) -> None:
        self.source = source
        self._on_subscribe = on_subscribe
        self._reader = Periodic("event feed", self._read, _POLL_SECONDS, longest=_LONGEST_BACKOFF)
        self._subscriptions = Subscriptions[RunSubscription](self._reader.wake, _POLL_SECONDS, on_poll)
        self.wake_all = self._subscriptions.wake_all

    def start(self) -> None:
        self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()

    def wake(self, payload: str) -> None:
        """Handle a notification; `payload` is a comma-separated list of run ids."""
        self._subscriptions.wake_ids(ids_in(payload))

    @contextmanager
    def subscribe(self, run_id: UUID, after: int) -> Iterator[RunSubscription]:
        """Subscribe to the events of a run with a seq greater than `after`, until the block ends.

        `ONLY_END`: only to its end.
        """
        subscription = RunSubscription(run_id, after, self._subscriptions.wake_id)
        self._on_subscribe(run_id)
        with self._subscriptions.holding(run_id, subscription):
            yield subscription

    async def _read(self) -> None:
        positions = {run_id: self._position(run_id) for run_id in self._subscriptions.due()}
        wanted = {run_id: after for run_id, after in positions.items() if after is not None}
        if not wanted:
            return
        found = await self.source.read_events(wanted, _BATCH)
        woken, at_once = 0, streams_at_once(len(found))
        for run_id, events in sorted(found.items(), key=_goes_on):
            if woken >= at_once:
                woken = 0
                await asyncio.sleep(PAUSE_BETWEEN_STREAMS)
            woken += sum(each.add(events, wanted[run_id]) for each in self._subscriptions.of(run_id))
            if len(events) >= _BATCH or sum(len(event.data) for event in events) >= _LARGE_BATCH:
                self._subscriptions.wake_id(run_id)

    def _position(self, run_id: UUID) -> int | None:
        """The smallest position among subscriptions with room; None when all are full."""
        return min((each.after for each in self._subscriptions.of(run_id) if not each.is_full), default=None)


def _goes_on(read: tuple[UUID, list[RunEvent]]) -> bool:
    """Whether a run has not ended. Those that have come first: their clients wait for nothing else."""
    _, events = read
    return not events or events[-1].event != END
