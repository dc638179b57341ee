"""The loop behind every background task: it starts, stops, calls its work periodically, and backs off when the work
fails."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

_log = structlog.get_logger(__name__)
_LONGEST_BACKOFF = 30.0


@dataclass(slots=True)
class LoopCounts:
    runs: int = 0
    failures: int = 0


def backoff(failures: int, base: float, longest: float = _LONGEST_BACKOFF) -> float:
    """Seconds to wait after `failures` failures in a row: `base` doubled each time, at most `longest`, with jitter of
    ±25 %."""
    return min(longest, base * 2.0 ** min(failures - 1, 10)) * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret


class Periodic:
    """Calls `work` every `interval` seconds (±10 %), and at once after `wake`.

    After a failure it waits `retry` seconds (unset: `interval`), longer after each further one, at most `longest`.
    `wake` does not shorten that.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        interval: float,
        *,
        retry: float | None = None,
        longest: float = _LONGEST_BACKOFF,
    ) -> None:
        self.name = name
        self.counts = LoopCounts()
        self._work = work
        self._interval = interval
        self._retry = interval if retry is None else retry
        self._longest = longest
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=self.name)

    def wake(self) -> None:
        self._wake.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def run_once(self) -> None:
        await self._work()
        self.counts.runs += 1

    async def _loop(self) -> None:
        in_a_row = 0
        while True:
            self._wake.clear()
            try:
                await self.run_once()
                in_a_row = 0
            except Exception as error:  # noqa: BLE001 - a background loop outlives any failure of its work
                in_a_row += 1
                self.counts.failures += 1
                _log.warning("background work failed", name=self.name, in_a_row=in_a_row, error=repr(error))
            await self._pause(in_a_row)

    async def _pause(self, failures: int) -> None:
        if failures:
            await asyncio.sleep(backoff(failures, self._retry, self._longest))
            return
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the wake, and stop()
        # would hang.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval * random.uniform(0.9, 1.1)):  # noqa: S311 - as above
                await self._wake.wait()
