"""How long to wait before trying again: exponential, with full jitter, so that many who lost the same server do not come back together."""

from __future__ import annotations

import random

FIRST, MOST = 0.5, 15.0
"""Seconds. MOST is a lease: who waits longer has lost it anyway."""


class Backoff:
    """`next` is between 0 and FIRST · 2ⁿ, at most MOST; `reset` once something has held."""

    def __init__(self, first: float = FIRST, most: float = MOST) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    def next(self) -> float:
        ceiling = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return jitter(ceiling)

    def reset(self) -> None:
        self._failures = 0


def jitter(most: float, least: float = 0.0) -> float:
    return random.uniform(least, most)  # noqa: S311 - spreads load, and is no secret
