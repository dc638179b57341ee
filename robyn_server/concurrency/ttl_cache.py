"""A cache with a time to live, a bound, and one load at a time for each key. Failures are not cached.

Rules
  1. The age of a value counts from the start of its load, not from its end.
  2. A value whose key was invalidated during its load is not cached: it may have been read before the change.
  3. A load runs in a task of its own: cancelling a caller does not cancel it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """`load` is called once in `seconds` for each key. The `max_size` keys used last are kept."""

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        *,
        seconds: float,
        max_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._seconds = seconds
        self._max_size = max_size
        self._clock = clock
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._values)

    async def get(self, key: K) -> V:
        """Return the cached or loaded value. Raises what `load` raises."""
        cached = self._values.get(key)
        if cached is not None and cached[0] > self._clock():
            self._values.move_to_end(key)
            return cached[1]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.get_running_loop().create_task(self._load_value(key), context=Context())
            task.add_done_callback(lambda done: self._on_loaded(key, done))
        return await asyncio.shield(task)

    def invalidate(self, key: K) -> None:
        self._values.pop(key, None)
        self._loading.pop(key, None)

    def invalidate_all(self) -> None:
        self._values.clear()
        self._loading.clear()

    async def _load_value(self, key: K) -> V:
        until = self._clock() + self._seconds
        value = await self._load(key)
        if self._loading.get(key) is asyncio.current_task():
            self._store(key, until, value)
        return value

    def _store(self, key: K, until: float, value: V) -> None:
        self._values[key] = (until, value)
        self._values.move_to_end(key)
        if len(self._values) > self._max_size:
            self._values.popitem(last=False)

    def _on_loaded(self, key: K, task: asyncio.Task[V]) -> None:
        if self._loading.get(key) is task:
            del self._loading[key]
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio logs it when every caller was cancelled
