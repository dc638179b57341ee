"""The order of turns in the queue: what a worker remembers of its claims.

Rules
  1. Tenants, and owners within a tenant, take turns in the order of their keys, which are 63-bit hashes. `agenthall`'s
     function claim_in_turn() walks along them, from where the last claim ended.
  2. A claim that found fewer runs than it had room for has emptied the queue. Nobody waited, so nothing is remembered
     but the place in the order, and the next claim takes whatever is there. Its order matters only if it has room for
     less than that, and then the claim after it is in turn again.
  3. A tenant that was passed without a run has none waiting, and is forgotten. So the memory is not larger than the
     number of tenants that wait.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

_SENT = 256
"""Tenants whose owners are named in one claim: those that come next."""
_REMEMBERED = 100_000


class Served(NamedTuple):
    """A run that was claimed: the keys of its tenant and owner."""

    tenant: int
    owner: int
    organization_id: UUID | None


class QueueTurns:
    def __init__(self, weights: Mapping[UUID, int] | None = None) -> None:
        self._weights = weights or {}
        self._tenant: int | None = None
        self._used = 0
        self._is_emptied = False
        self._owners: dict[int, int] = {}
        self._order: list[int] = []

    def as_parameter(self) -> list[int] | None:
        """The place in the order, and pairs of tenant and owner, as claim_in_turn() takes them.

        None: the claim needs no order.
        """
        if self._is_emptied:
            return None
        if self._tenant is None:
            return []
        start = bisect_right(self._order, self._tenant - (self._used > 0))
        coming = self._order[start : start + _SENT]
        coming += self._order[: min(start, _SENT - len(coming))]
        return [self._tenant, self._used, *(key for each in coming for key in (each, self._owners[each]))]

    def record(self, served: Sequence[Served], *, is_emptied: bool) -> None:
        """Remember a claim's runs, in their order. `is_emptied`: it had room for more."""
        self._is_emptied = is_emptied
        if is_emptied:
            self._owners.clear()
            self._order.clear()
        if not served:
            return
        self._forget_passed({each.tenant for each in served}, served[-1].tenant, len(served))
        if not is_emptied:
            for each in served:
                self._remember(each)
        self._used = self._used_after(served)
        self._tenant = served[-1].tenant

    def _remember(self, served: Served) -> None:
        if served.tenant not in self._owners:
            if len(self._owners) >= _REMEMBERED:
                return
            insort(self._order, served.tenant)
        self._owners[served.tenant] = served.owner

    def _forget_passed(self, served: set[int], last: int, count: int) -> None:
        """Forget the tenants between the former place and `last` that had no run."""
        if self._tenant is None or not self._order or count > len(served):
            return
        start, end = bisect_right(self._order, self._tenant), bisect_right(self._order, last)
        passed = self._order[start:end] if self._tenant < last else self._order[start:] + self._order[:end]
        gone = {each for each in passed if each not in served}
        if gone:
            self._order = [each for each in self._order if each not in gone]
            for each in gone:
                del self._owners[each]

    def _used_after(self, served: Sequence[Served]) -> int:
        """How many runs of its turn the last tenant has had. 0: its turn is over."""
        weight = self._weights.get(served[-1].organization_id, 1) if served[-1].organization_id else 1
        if weight == 1:
            return 0
        last, used = served[-1].tenant, 0
        for each in reversed(served):
            if each.tenant != last:
                return used % weight
            used += 1
        return (used + (self._used if self._tenant == last else 0)) % weight
