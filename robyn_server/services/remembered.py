"""Answers that may be some seconds old: bounded, one question at a time for each key, failures never remembered.

Rules
  1. An answer's age counts from when it was asked for, not from when it came.
  2. What was forgotten while its question was under way is not remembered when the answer comes: it may have been read before.
  3. The work is a task of its own: a caller that is cancelled leaves it to the others.
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


class Remembered(Generic[K, V]):
    """`ask` is asked once in `seconds` for each key; the `most` keys used last are remembered."""

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V]],
        *,
        seconds: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def get(self, key: K) -> V:
        """Raises what `ask` raises."""
        known = self._known.get(key)
        if known is not None and known[0] > self._clock():
            self._known.move_to_end(key)
            return known[1]
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.get_running_loop().create_task(self._answer(key), context=Context())
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)

    def forget(self, key: K) -> None:
        self._known.pop(key, None)
        self._asking.pop(key, None)

    def forget_all(self) -> None:
        self._known.clear()
        self._asking.clear()

    async def _answer(self, key: K) -> V:
        until = self._clock() + self._seconds
        value = await self._ask(key)
        if self._asking.get(key) is asyncio.current_task():
            self._remember(key, until, value)
        return value

    def _remember(self, key: K, until: float, value: V) -> None:
        self._known[key] = (until, value)
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def _answered(self, key: K, task: asyncio.Task[V]) -> None:
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled():
            task.exception()  # seen, even if every caller has left
