"""Choose the ids that a background reader reads next: those that a notification woke, and once per interval all.

A notification is only a hint and may be lost, so readers also poll.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar
from uuid import UUID

S = TypeVar("S")
_EARLY = 0.8
"""A loop may run a little early, so this part of the interval is enough."""


class DueIds:
    """`seconds`: the interval after which every id is due. `on_poll` is called when it has passed."""

    def __init__(self, seconds: float, on_poll: Callable[[], object] = lambda: None) -> None:
        self._seconds = seconds
        self._on_poll = on_poll
        self._woken: set[UUID] = set()
        self._polled_at = float("-inf")

    def add(self, ids: Iterable[UUID]) -> None:
        self._woken.update(ids)

    def add_all(self) -> None:
        """Every id is due, because notifications may have been missed."""
        self._polled_at = float("-inf")

    def take(self, every: Collection[UUID]) -> set[UUID]:
        """Return which of the ids are due, and forget them."""
        woken, self._woken = self._woken.intersection(every), set()
        now = time.monotonic()
        if now - self._polled_at < self._seconds * _EARLY:
            return woken
        self._polled_at = now
        self._on_poll()
        return set(every)


class Subscriptions(Generic[S]):
    """The subscriptions of a reader, by the id that each is about. `wake` wakes the reader."""

    def __init__(self, wake: Callable[[], None], seconds: float, on_poll: Callable[[], object] = lambda: None) -> None:
        self._wake = wake
        self._due = DueIds(seconds, on_poll)
        self._by_id: dict[UUID, set[S]] = {}

    def __len__(self) -> int:
        """How many ids have subscriptions."""
        return len(self._by_id)

    def wake_ids(self, ids: Iterable[UUID]) -> None:
        """Have those of the ids read that have subscriptions."""
        known = [each for each in ids if each in self._by_id]
        if known:
            self._due.add(known)
            self._wake()

    def wake_id(self, about: UUID) -> None:
        self._due.add([about])
        self._wake()

    def wake_all(self) -> None:
        self._due.add_all()
        self._wake()

    @contextmanager
    def holding(self, about: UUID, subscription: S) -> Iterator[S]:
        """Keep a subscription, and have it read, until the block ends."""
        self._by_id.setdefault(about, set()).add(subscription)
        self.wake_id(about)
        try:
            yield subscription
        finally:
            self._by_id[about].discard(subscription)
            if not self._by_id[about]:
                del self._by_id[about]

    def of(self, about: UUID) -> Collection[S]:
        return self._by_id.get(about, set())

    def due(self) -> set[UUID]:
        """Return the ids to read now."""
        return self._due.take(self._by_id.keys())
