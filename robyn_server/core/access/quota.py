"""How many things of one kind each principal may have at the same time."""

from __future__ import annotations

from collections import Counter


class ConcurrencyQuota:
    """`limit`: the most for each key; None: no limit."""

    __slots__ = ("_in_use", "limit")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._in_use: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._in_use.total()

    def acquire(self, key: str) -> bool:
        """Return False, and count nothing, when `key` has as many as it may have."""
        if self.limit is not None and self._in_use[key] >= self.limit:
            return False
        self._in_use[key] += 1
        return True

    def release(self, key: str) -> None:
        """Give one back. Call once for each `acquire` that returned True."""
        self._in_use[key] -= 1
        if self._in_use[key] <= 0:
            del self._in_use[key]
