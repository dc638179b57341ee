"""How many streams each principal has, so that nobody holds all of a process's.

A seat is given up when its stream's reader is gone, and not before: a reader that stalls no longer counts against the process's limit, but what
was put for it still fills memory, and that stays within its principal's share.
"""

from __future__ import annotations

from collections import Counter

from robyn_server.core.errors import TooMany
from robyn_server.settings import AuthMode, Settings

PARTS = 4
"""One principal's share, unless it is set: a quarter of the whole."""


def share_of(settings: Settings) -> int | None:
    """Streams that one principal may have in one process. None in AUTH_MODE=none, where all are one principal."""
    if settings.auth_mode is AuthMode.NONE:
        return None
    return settings.streams_per_principal or max(1, settings.max_streams // PARTS)


class Seat:
    """Room for one stream. It can be left any number of times, and counts once."""

    __slots__ = ("_identity", "_seats", "is_kept")

    def __init__(self, seats: Seats, identity: str) -> None:
        self._seats: Seats | None = seats
        self._identity = identity
        self.is_kept = False
        """A stream has it, and leaves it when it is closed."""

    def leave(self) -> None:
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.left(self._identity)


class Seats:
    """`most` for each principal; None: as many as they like."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, identity: str) -> Seat:
        """Raises TooMany."""
        if self._most is not None and self._taken[identity] >= self._most:
            raise TooMany(
                f"You have {self._most} streams open here, and may have no more (AGENTHALL_STREAMS_PER_PRINCIPAL).",
                code="too_many_own_streams",
            )
        self._taken[identity] += 1
        return Seat(self, identity)

    def left(self, identity: str) -> None:
        """Called by a seat, once."""
        self._taken[identity] -= 1
        if self._taken[identity] <= 0:
            del self._taken[identity]
