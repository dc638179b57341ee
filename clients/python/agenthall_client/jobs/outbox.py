"""The events of a job that the server has not acknowledged: numbered, in order, within the window."""

from __future__ import annotations

from collections import deque

from agenthall_client.connection.json_text import JsonText

MAX_EVENTS = 64
MAX_BYTES = 256 * 1024
"""The window: so many events, or bytes of them, may be unacknowledged. One event, and one message, is not larger."""


class EventOutbox:
    """Events are JSON texts. The first has the number 1."""

    def __init__(self) -> None:
        self.applied_through = 0
        self._events: deque[JsonText] = deque()
        """Those with the numbers from `applied_through` + 1."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def is_full(self) -> bool:
        return len(self._events) >= MAX_EVENTS or self._bytes >= MAX_BYTES

    def append(self, event: JsonText) -> None:
        self._events.append(event)
        self._bytes += event.size

    def next_batch(self) -> tuple[int, list[JsonText]]:
        """Return the number of the first event, and as many events as fit into one message."""
        batch: list[JsonText] = []
        size = 0
        for event in self._events:
            size += event.size
            if size > MAX_BYTES:
                break
            batch.append(event)
        return self.applied_through + 1, batch

    def acknowledge(self, applied_through: int) -> None:
        """Forget events up to this number."""
        while self._events and self.applied_through < applied_through:
            self._bytes -= self._events.popleft().size
            self.applied_through += 1

    def drop(self) -> None:
        """Forget all events."""
        self._events.clear()
        self._bytes = 0
