"""Runs that a process may enqueue without counting how many wait.

Rules
  1. A count says how many more runs an owner and its organization may have. A process takes a sixteenth of that as its
     allowance. Close to a limit the allowance is 0, and each run is counted. So one process never exceeds a limit, and
     each further one by a sixteenth of it at most.
  2. An allowance lapses after a few seconds. Runs that start meanwhile only make room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence

_SHARE = 16
_SECONDS = 5.0
_REMEMBERED = 10_000
_UNLIMITED = 1_000


class PendingHeadroom:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._allowances: dict[Hashable, tuple[int, float]] = {}

    def take(self, keys: Sequence[Hashable]) -> bool:
        """Take one run from the allowance of each key. False, and nothing is taken, where one has none."""
        now = self._clock()
        found = [self._allowances.get(key, (0, 0.0)) for key in keys]
        if not all(left > 0 and until > now for left, until in found):
            return False
        for key, (left, until) in zip(keys, found, strict=True):
            self._allowances[key] = left - 1, until
        return True

    def record(self, keys: Sequence[Hashable], left: int | None) -> None:
        """Set the allowances after a count. `left`: runs that all of the keys may add; None: any number."""
        if len(self._allowances) >= _REMEMBERED:
            self._allowances.clear()
        allowance = _UNLIMITED if left is None else left // _SHARE
        for key in keys:
            self._allowances[key] = allowance, self._clock() + _SECONDS
