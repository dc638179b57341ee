"""The pause before a child that exited is started again.

A child that was ready starts again at once, however often it exits: a request that aborts a web process must not
lengthen the outage when it is sent again. Pauses that grow are for children that exit before they are ready, because a
start that failed will fail again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

JITTER = 0.5
"""A pause is shortened by up to this share, so that children that exited together do not start together."""


@dataclass(slots=True)
class RestartPolicy:
    """Pauses of one child, in seconds: doubled at each exit before it was ready, from `initial` up to `maximum`.

    `interval`: between two starts of a child that gets ready, so that one that exits at once does not take a core.
    """

    initial: float = 0.1
    maximum: float = 30.0
    interval: float = 0.25
    exits: int = 0

    def pause(self, uptime: float, *, was_ready: bool) -> float:
        """Return the seconds to wait after an exit at the age of `uptime` seconds."""
        if was_ready:
            self.exits = 0
            return max(0.0, self.interval - uptime)
        full = min(self.maximum, self.initial * 2.0 ** min(self.exits, 32))
        self.exits += 1
        return full * (1 - JITTER * random.random())  # noqa: S311 - spreads load, guards nothing
