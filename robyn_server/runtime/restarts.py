"""When a dead child may start again."""

from __future__ import annotations

import random
from dataclasses import dataclass

JITTER = 0.5
"""A pause is shortened by up to this share, so that children that died together do not return together."""


@dataclass(slots=True)
class Restarts:
    """Pauses of one child, in seconds: doubled with each death, from `first` up to `longest`.

    A child that lived for `calm` seconds is forgiven its earlier deaths.
    """

    first: float = 0.1
    longest: float = 30.0
    calm: float = 30.0
    deaths: int = 0

    def pause(self, lived: float) -> float:
        """Seconds to wait after a death at the age of `lived` seconds."""
        if lived >= self.calm:
            self.deaths = 0
        full = min(self.longest, self.first * 2.0 ** min(self.deaths, 32))
        self.deaths += 1
        return full * (1 - JITTER * random.random())  # noqa: S311 - spreads load, guards nothing
