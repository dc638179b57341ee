"""A limit of requests by time: the generic cell rate algorithm (GCRA, ITU-T I.371).

It keeps one number for each key: the time at which the key's budget is full again. A request moves it on by the time in
which the budget gains one. A request that would move it further than a whole window is refused, and moves nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_SWEEP_AT = 10_000
"""Keys, beyond which those with a full budget are forgotten."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The state of a budget after a request. `remaining`: requests that could come now. Times are seconds.

    `full_after`: until the budget is full again. `wait`: until the next request is accepted; 0: now.
    """

    is_accepted: bool
    remaining: int
    full_after: float
    wait: float


class RateLimit:
    """`quota`: requests of one key in `window` seconds. All of them may come at once."""

    def __init__(self, quota: int, window: float) -> None:
        self.quota = quota
        self.window = window
        self._step = window / quota
        self._full_at: dict[str, float] = {}
        self._sweep_at = _SWEEP_AT

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float) -> Budget:
        full_at = max(self._full_at.get(key, now), now)
        used = full_at - now
        room = self.window - used + 1e-9  # the sum of many steps is not exact
        if room < self._step:
            return Budget(False, 0, used, self._step - room)
        self._full_at[key] = full_at + self._step
        if len(self._full_at) > self._sweep_at:
            self._forget_full(now)
        remaining = math.floor((room - self._step) / self._step)
        return Budget(True, remaining, used + self._step, 0.0)

    def give_back(self, key: str) -> None:
        """Undo the last `take` of the key, which was accepted."""
        self._full_at[key] -= self._step

    def _forget_full(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        self._sweep_at = max(_SWEEP_AT, 2 * len(self._full_at))
