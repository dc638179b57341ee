"""Limits of one socket, one principal and one process."""

from __future__ import annotations

from dataclasses import dataclass

REFUSED_BURSTS = 3
"""Refused messages, in bursts, that close the socket: its client ignores code 4002."""


JOB_MESSAGE_BYTES = 1024 * 1024
"""Of a message about a job, in both directions: an offer has the state of a thread, and a result may be as large."""

MAX_OFFER_BYTES = JOB_MESSAGE_BYTES - 8 * 1024
"""Of the input of an offered job. The rest of the message takes some, too."""

JOB_MESSAGE_RATE = 2
"""Messages about jobs for each slot of a socket, as a multiple of its other messages."""

MAX_UNANSWERED = 256
"""Messages about jobs of one socket that are being answered; at least two for each slot."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, counts and bytes. Those without a default are settings."""

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
    ping_after_seconds: float = 4.0
    silent_seconds: float = 10.0
    blocked_seconds: float = 10.0
    close_seconds: float = 2.0


class TokenBucket:
    """Messages of one socket: `rate` per second, and `burst` at once.

    Refused messages are a debt, which falls at `rate`. So a client that goes on at more than twice the rate exhausts
    the bucket, and one that slows down does not.
    """

    __slots__ = ("_debt", "_tokens", "_updated_at")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = burst
        self._debt = 0.0
        self._updated_at = now

    def take(self, count: int, now: float, rate: float, burst: float) -> bool:
        """Whether `count` messages may be answered. More than a burst counts as a burst, or it could never be taken."""
        earned = (now - self._updated_at) * rate
        self._updated_at = now
        self._tokens = min(burst, self._tokens + earned)
        self._debt = max(0.0, self._debt - earned)
        cost = min(count, burst)
        if self._tokens < cost:
            self._debt += cost
            return False
        self._tokens -= cost
        return True

    def is_exhausted(self, burst: float) -> bool:
        """Whether so many messages were refused that the socket is to be closed."""
        return self._debt > burst * REFUSED_BURSTS
