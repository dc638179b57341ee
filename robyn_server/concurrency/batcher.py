"""Collect what callers submit, and apply it in batches, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_STOP_SECONDS = 3.0


class Batcher(Generic[T, R]):
    """`apply` gets up to `max_size` items in their order, and returns one result for each.

    Items that are submitted within `seconds` of a first one travel with it. An error of `apply` is raised for each item
    of its batch. `closed` makes the error of an item that is submitted while the batcher is stopped.
    """

    def __init__(
        self,
        name: str,
        apply: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        seconds: float,
        max_size: int,
        closed: Callable[[], Exception],
    ) -> None:
        self._name = name
        self._apply = apply
        self._seconds = seconds
        self._max_size = max_size
        self._closed = closed
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._has_waiting = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_open = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._is_open = True
        self._task = asyncio.create_task(self._loop(), name=self._name)

    async def stop(self) -> None:
        """Apply what is waiting, if that is possible in time."""
        self._is_open = False
        self._stopping.set()
        self._has_waiting.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._task
        self._settle(self._next_batch(len(self._waiting)), self._closed())

    async def submit(self, item: T) -> R:
        """Return the result of an item. Raises what `apply` raises for its batch."""
        if not self._is_open:
            raise self._closed()
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        self._has_waiting.set()
        return await result

    async def _loop(self) -> None:
        while self._is_open or self._waiting:
            await self._has_waiting.wait()
            await self._wait_for_more()
            self._has_waiting.clear()
            await self._flush(self._next_batch(self._max_size))
            if self._waiting:
                self._has_waiting.set()

    async def _wait_for_more(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._stopping.wait()

    def _next_batch(self, size: int) -> list[tuple[T, asyncio.Future[R]]]:
        """Remove the oldest items whose callers still wait."""
        taken = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
        return [(item, result) for item, result in taken if not result.done()]

    async def _flush(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        if not batch:
            return
        try:
            answers = await self._apply([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is raised where the item was submitted
            self._settle(batch, error)
        except BaseException:
            self._settle(batch, self._closed())
            raise
        else:
            for (_, result), answer in zip(batch, answers, strict=True):
                if not result.done():
                    result.set_result(answer)

    def _settle(self, batch: list[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
        for _, result in batch:
            if not result.done():
                result.set_exception(error)
