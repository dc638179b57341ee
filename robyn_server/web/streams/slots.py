"""Slots for streams: how many of one process's streams each principal may have.

A slot is released when its client has disconnected, and not before. A stalled client no longer counts against the limit
of the process. But its buffered frames still use memory, which stays within the share of its principal.
"""

from __future__ import annotations

from robyn_server.core.access.quota import ConcurrencyQuota
from robyn_server.core.errors import TooMany
from robyn_server.settings import AuthMode, Settings

DEFAULT_SHARE = 4
"""A principal may have a quarter of the streams of a process, unless AGENTHALL_STREAMS_PER_PRINCIPAL says otherwise."""


def slots_per_principal(settings: Settings) -> int | None:
    """Streams that one principal may have in one process. None where all requests have one principal."""
    if settings.auth_mode is AuthMode.NONE and settings.auth_handlers is None:
        return None
    return settings.streams_per_principal or max(1, settings.max_streams // DEFAULT_SHARE)


class StreamSlot:
    """`release` may be called several times, and counts once."""

    __slots__ = ("_identity", "_quota", "is_occupied")

    def __init__(self, quota: ConcurrencyQuota, identity: str) -> None:
        self._quota: ConcurrencyQuota | None = quota
        self._identity = identity
        self.is_occupied = False
        """A stream has the slot, and releases it when it is closed."""

    def release(self) -> None:
        quota, self._quota = self._quota, None
        if quota is not None:
            quota.release(self._identity)


class StreamSlots:
    """`limit`: for each principal; None: no limit."""

    def __init__(self, limit: int | None) -> None:
        self._quota = ConcurrencyQuota(limit)

    def __len__(self) -> int:
        return len(self._quota)

    def acquire(self, identity: str) -> StreamSlot:
        """Raises TooMany."""
        if not self._quota.acquire(identity):
            raise TooMany(
                f"You have {self._quota.limit} streams open here, and may have no more (AGENTHALL_STREAMS_PER_PRINCIPAL).",
                code="too_many_own_streams",
            )
        return StreamSlot(self._quota, identity)
