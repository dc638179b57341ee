"""Follows runs for the web: events come from the events table, wake-ups from NOTIFY, and once a second it looks anyway.

All runs that are followed in this process are read by one query for each wake-up, however many clients wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from robyn_server.core.runs import END, RunEvent
from robyn_server.storage.runs import ONLY_END, RunQueue

from .background import Periodic

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS = 1.0
_LONGEST_BACKOFF = 5.0
_BATCH = 200
_BACKLOG = 2_000
_BACKLOG_CHARACTERS = 8_000_000
"""What may wait for one slow client; with more, it is not read on for it until it has caught up."""


class Follower:
    """One client's place in one run. Iterate over its batches; they end after the event `__end__`."""

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

    def put(self, events: list[RunEvent], read_after: int) -> None:
        """Takes what was read after `read_after`; nothing when that would leave a gap, or when it has enough to do."""
        if self.is_full or self.after < read_after:
            return
        fresh = [event for event in events if event.seq > self.after or event.event == END]
        if fresh:
            self.after = max(self.after, fresh[-1].seq)
            self._has_end = fresh[-1].event == END
            self._waiting.extend(fresh)
            self._characters += sum(len(event.data) for event in fresh)
            self._arrived.set()

    async def batches(self) -> AsyncIterator[list[RunEvent]]:
        """Events in order, as many at once as have arrived; the last batch ends with `__end__`."""
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


class EventFeed:
    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._followers: dict[UUID, set[Follower]] = {}
        self._woken: set[UUID] = set()
        self._looked_at_all = 0.0
        self._reader = Periodic("event feed", self._read, _POLL_SECONDS, longest=_LONGEST_BACKOFF)

    def start(self) -> None:
        self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()

    def wake(self, payload: str) -> None:
        """Takes a notification's payload: ids of runs, comma separated."""
        known = {run_id for text in payload.split(",") if (run_id := _uuid(text)) in self._followers}
        if known:
            self._woken |= known
            self._reader.wake()

    def wake_all(self) -> None:
        self._reader.wake()

    @contextmanager
    def follow(self, run_id: UUID, after: int) -> Iterator[Follower]:
        """A follower of the run's events with a seq greater than `after`, until the block is left. `ONLY_END`: of its end."""
        follower = Follower(run_id, after, self._look_at)
        self._followers.setdefault(run_id, set()).add(follower)
        self._look_at(run_id)
        try:
            yield follower
        finally:
            self._followers[run_id].discard(follower)
            if not self._followers[run_id]:
                del self._followers[run_id]

    def _look_at(self, run_id: UUID) -> None:
        self._woken.add(run_id)
        self._reader.wake()

    async def _read(self) -> None:
        runs = self._due()
        positions = {run_id: self._position(run_id) for run_id in runs}
        wanted = {run_id: after for run_id, after in positions.items() if after is not None}
        if not wanted:
            return
        found = await self._queue.read_events(wanted, _BATCH)
        for run_id, events in found.items():
            for follower in self._followers.get(run_id, set()):
                follower.put(events, wanted[run_id])
            if len(events) >= _BATCH:
                self._look_at(run_id)

    def _due(self) -> set[UUID]:
        """The runs that were woken; once in every poll all of them, since a notification may get lost."""
        now = time.monotonic()
        woken, self._woken = self._woken & self._followers.keys(), set()
        if now - self._looked_at_all < _POLL_SECONDS * 0.8:  # the reader comes a little early at times
            return woken
        self._looked_at_all = now
        return set(self._followers)

    def _position(self, run_id: UUID) -> int | None:
        """Where to read on: the earliest place of those who wait, None when all of them have enough to do."""
        return min((each.after for each in self._followers[run_id] if not each.is_full), default=None)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
