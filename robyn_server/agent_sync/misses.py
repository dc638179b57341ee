"""Ids that the catalogue did not know a moment ago: whoever asks again for one costs it no query.

Rules
  1. A miss is remembered for seconds, and only so many are: anybody may ask for any id.
  2. What one caller may not see says nothing about others: a miss is an agent's *and* its asker's organisations'.
  3. Whoever hears that an agent was edited forgets it here; an answer that was read before that is not remembered after it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from uuid import UUID

MISS_SECONDS = 3.0
MOST_MISSES = 10_000
"""About 2 MB."""

Organizations = frozenset[UUID] | None


class Misses:
    def __init__(
        self, seconds: float = MISS_SECONDS, most: int = MOST_MISSES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._until: OrderedDict[tuple[UUID, Organizations], float] = OrderedDict()
        self._askers: dict[UUID, set[Organizations]] = {}
        self._edits = 0

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

    def ticket(self) -> int:
        """To be taken before the catalogue is read, and given to `remember`."""
        return self._edits

    def remember(self, agent_id: UUID, organizations: Organizations, ticket: int) -> None:
        """Unless something was edited since `ticket` was taken: it may have been this."""
        if ticket != self._edits:
            return
        self._until[agent_id, organizations] = self._clock() + self._seconds
        self._until.move_to_end((agent_id, organizations))
        self._askers.setdefault(agent_id, set()).add(organizations)
        if len(self._until) > self._most:
            self._drop(*next(iter(self._until)))

    def forget(self, agent_ids: Iterable[UUID]) -> None:
        self._edits += 1
        for agent_id in agent_ids:
            for organizations in self._askers.pop(agent_id, ()):
                del self._until[agent_id, organizations]

    def forget_all(self) -> None:
        self._edits += 1
        self._until.clear()
        self._askers.clear()

    def _drop(self, agent_id: UUID, organizations: Organizations) -> None:
        del self._until[agent_id, organizations]
        askers = self._askers[agent_id]
        askers.discard(organizations)
        if not askers:
            del self._askers[agent_id]
