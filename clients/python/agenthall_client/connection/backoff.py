"""Exponential backoff with full jitter, so that clients that lost the same server do not all return at once."""

from __future__ import annotations

import random

INITIAL_SECONDS = 0.5
MAX_SECONDS = 15.0
"""The length of a lease: after a longer wait the lease has expired anyway."""


class Backoff:
    """Delays between 0 and `initial` · 2ⁿ seconds, at most `maximum`. Call `reset` when a connection lasts."""

    def __init__(self, initial: float = INITIAL_SECONDS, maximum: float = MAX_SECONDS) -> None:
        self._initial = initial
        self._maximum = maximum
        self._failures = 0

    def next_delay(self) -> float:
        ceiling = min(self._maximum, self._initial * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return jitter(ceiling)

    def reset(self) -> None:
        self._failures = 0


def jitter(maximum: float, minimum: float = 0.0) -> float:
    return random.uniform(minimum, maximum)  # noqa: S311 - spreads load, and is no secret
