"""Ids that the catalogue did not know a moment ago: asking again costs it no query.

Rules
  1. A miss is remembered for seconds, and only so many are: anybody may ask for any id.
  2. Misses are kept by agent and the caller's organizations, because visibility differs between callers.
  3. An edit of an agent removes its misses; an answer that was read before the edit is not added after it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from uuid import UUID

MISS_SECONDS = 3.0
MAX_MISSES = 10_000
"""About 2 MB."""

Organizations = frozenset[UUID] | None


class NegativeCache:
    def __init__(
        self, seconds: float = MISS_SECONDS, limit: int = MAX_MISSES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.generation = 0
        """Read it before the catalogue is read, and give it to `add`."""
        self._seconds = seconds
        self._limit = limit
        self._clock = clock
        self._until: OrderedDict[tuple[UUID, Organizations], float] = OrderedDict()
        self._askers: dict[UUID, set[Organizations]] = {}

    def __len__(self) -> int:
        return len(self._until)

    def has(self, agent_id: UUID, organizations: Organizations) -> bool:
        until = self._until.get((agent_id, organizations))
        if until is None:
            return False
        if until <= self._clock():
            self._drop(agent_id, organizations)
            return False
        self._until.move_to_end((agent_id, organizations))
        return True

    def add(self, agent_id: UUID, organizations: Organizations, generation: int) -> None:
        """Add a miss, unless something was edited since `generation` was read: it may have been this agent."""
        if generation != self.generation:
            return
        self._until[agent_id, organizations] = self._clock() + self._seconds
        self._until.move_to_end((agent_id, organizations))
        self._askers.setdefault(agent_id, set()).add(organizations)
        if len(self._until) > self._limit:
            self._drop(*next(iter(self._until)))

    def remove(self, agent_ids: Iterable[UUID]) -> None:
        self.generation += 1
        for agent_id in agent_ids:
            for organizations in self._askers.pop(agent_id, ()):
                del self._until[agent_id, organizations]

    def clear(self) -> None:
        self.generation += 1
        self._until.clear()
        self._askers.clear()

    def _drop(self, agent_id: UUID, organizations: Organizations) -> None:
        del self._until[agent_id, organizations]
        askers = self._askers[agent_id]
        askers.discard(organizations)
        if not askers:
            del self._askers[agent_id]
