"""How much one socket, one principal and all together may ask for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

REFUSALS = 3
"""So many bursts of refused messages close a socket: its client does not listen to 4002."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, counts and bytes. Those of the settings first; the rest is the same everywhere."""

    sockets: int
    sockets_per_principal: int
    messages_per_second: float
    registrations: int
    grace_seconds: float
    recheck_seconds: float
    watches: int = 8
    burst_seconds: float = 2.0
    message_bytes: int = 64 * 1024
    first_message_seconds: float = 10.0
    request_seconds: float = 10.0
    ask_seconds: float = 4.0
    silent_seconds: float = 10.0
    stuck_seconds: float = 10.0
    leave_seconds: float = 2.0


class Bucket:
    """Messages of one socket: `rate` per second, and `burst` at once. What is refused counts, too, towards its end."""

    __slots__ = ("_debt", "_filled_at", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = burst
        self._filled_at = now
        self._debt = 0.0

    def take(self, count: int, now: float, rate: float, burst: float) -> bool:
        """Whether `count` messages may be answered. More than a burst can never be taken at once: they take all there is."""
        self._tokens = min(burst, self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._tokens >= min(count, burst):
            self._tokens -= min(count, burst)
            self._debt = 0.0
            return True
        self._debt += count
        return False

    def is_spent(self, burst: float) -> bool:
        return self._debt > burst * REFUSALS


class Seats:
    """How many sockets each principal has."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self, identity: str) -> bool:
        if self._taken[identity] >= self._most:
            return False
        self._taken[identity] += 1
        return True

    def leave(self, identity: str) -> None:
        self._taken[identity] -= 1
        if self._taken[identity] <= 0:
            del self._taken[identity]
