"""The events of a job that the server has not acknowledged: numbered, in order, within the window."""

from __future__ import annotations

from collections import deque

MAX_EVENTS = 64
MAX_BYTES = 256 * 1024
"""The window: so many events, or bytes of them, may be unacknowledged."""


class EventOutbox:
    """Events are JSON texts. The first has the number 1."""

    def __init__(self) -> None:
        self.applied_through = 0
        self._events: deque[str] = deque()
        """Those with the numbers from `applied_through` + 1."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def is_full(self) -> bool:
        return len(self._events) >= MAX_EVENTS or self._bytes >= MAX_BYTES

    def append(self, event: str) -> None:
        self._events.append(event)
        self._bytes += len(event)

    def next_batch(self, max_bytes: int) -> tuple[int, list[str]]:
        """Return the number of the first event, and as many events as fit into `max_bytes`; at least one."""
        batch: list[str] = []
        size = 0
        for event in self._events:
            size += len(event) + 1
            if batch and size > max_bytes:
                break
            batch.append(event)
        return self.applied_through + 1, batch

    def acknowledge(self, applied_through: int) -> None:
        """Forget events up to this number."""
        while self._events and self.applied_through < applied_through:
            self._bytes -= len(self._events.popleft())
            self.applied_through += 1

    def drop(self) -> None:
        """Forget all events."""
        self._events.clear()
        self._bytes = 0
