"""The pause before a child that exited is started again."""

from __future__ import annotations

import random
from dataclasses import dataclass

JITTER = 0.5
"""A pause is shortened by up to this share, so that children that exited together do not start together."""


@dataclass(slots=True)
class RestartPolicy:
    """Pauses of one child, in seconds: doubled at each exit, from `initial` up to `maximum`.

    After a child has run for `reset_after` seconds, the next pause is `initial` again.
    """

    initial: float = 0.1
    maximum: float = 30.0
    reset_after: float = 30.0
    exits: int = 0

    def pause(self, uptime: float) -> float:
        """Return the seconds to wait after an exit at the age of `uptime` seconds."""
        if uptime >= self.reset_after:
            self.exits = 0
        full = min(self.maximum, self.initial * 2.0 ** min(self.exits, 32))
        self.exits += 1
        return full * (1 - JITTER * random.random())  # noqa: S311 - spreads load, guards nothing
