"""Events that the database has confirmed lately.

A crash may undo them, because their flush did not wait for the disk.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from robyn_server.core.runs import ClaimedRun, RunEvent

KEPT_SECONDS = 3.0
"""PostgreSQL writes what it has confirmed after at most three times wal_writer_delay, 0.6 s by default."""

_KEPT_CHARACTERS = 8_000_000

WrittenEvent: TypeAlias = tuple[ClaimedRun, RunEvent]


class RecentEvents:
    """Of all runs of a worker, up to KEPT_SECONDS old and 8,000,000 characters long."""

    def __init__(self) -> None:
        self._flushes: deque[tuple[float, Sequence[WrittenEvent]]] = deque()
        self._characters = 0

    def add(self, events: Sequence[WrittenEvent]) -> None:
        """Keep the events of a flush, and forget old ones."""
        now = time.monotonic()
        self._flushes.append((now, events))
        self._characters += _characters(events)
        while self._flushes and (self._flushes[0][0] < now - KEPT_SECONDS or self._characters > _KEPT_CHARACTERS):
            self._characters -= _characters(self._flushes.popleft()[1])

    def take_all(self) -> list[WrittenEvent]:
        """Remove and return the events, in their order."""
        taken = [each for _, events in self._flushes for each in events]
        self.clear()
        return taken

    def clear(self) -> None:
        """Forget all: they are on the disk."""
        self._flushes.clear()
        self._characters = 0


def _characters(events: Iterable[WrittenEvent]) -> int:
    return sum(len(event.data) for _, event in events)
