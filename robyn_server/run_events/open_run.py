"""A run whose events go to Redis, as its worker has it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from robyn_server.core.runs import ClaimedRun, RunEvent
from robyn_server.storage.runs.queue import RunLease

_RECENT_SECONDS = 3.0
_RECENT_CHARACTERS = 2_000_000
"""Events of each run that are kept: the database gets them when Redis fails."""


@dataclass(slots=True, eq=False)
class OpenRun:
    """Events of one attempt: those that wait, those on their way to Redis, and those that it has confirmed lately."""

    run: ClaimedRun
    waiting: deque[RunEvent] = field(default_factory=deque)
    in_flight: list[RunEvent] = field(default_factory=list)
    recent: deque[tuple[float, RunEvent]] = field(default_factory=deque)
    recent_characters: int = 0
    is_closed: bool = False
    is_empty: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease(self) -> RunLease:
        return self.run.run_id, self.run.attempt

    def take(self, room: int, characters: int) -> list[RunEvent]:
        """Move events from waiting to in flight, at most `room`, up to the one with which they have `characters`."""
        while self.waiting and len(self.in_flight) < room and characters > 0:
            event = self.waiting.popleft()
            characters -= len(event.data)
            self.in_flight.append(event)
        return self.in_flight

    def confirm(self) -> None:
        """Remember the events in flight as written."""
        now = time.monotonic()
        self.recent.extend((now, event) for event in self.in_flight)
        self.recent_characters += sum(len(event.data) for event in self.in_flight)
        while self.recent and (
            self.recent[0][0] < now - _RECENT_SECONDS or self.recent_characters > _RECENT_CHARACTERS
        ):
            self.recent_characters -= len(self.recent.popleft()[1].data)
        self.in_flight = []
        if not self.waiting:
            self.is_empty.set()

    def take_all(self) -> list[RunEvent]:
        """Remove and return the events that Redis has not confirmed."""
        left = [*self.in_flight, *self.waiting]
        self.in_flight, self.waiting = [], deque()
        self.is_empty.set()
        return left
