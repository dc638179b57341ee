"""The body of an `async with` that must not go on when something else has ended: it is cancelled, and the reason is raised instead."""

from __future__ import annotations

import asyncio
import contextlib


class Body:
    """As asyncio.timeout does it: a cancellation of our own is taken back, anybody else's goes on."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._error: Exception | None = None

    def enter(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0

    def fail(self, error: Exception) -> None:
        if self._task is not None and self._error is None:
            self._error = error
            self._task.cancel(str(error))

    async def leave(self, error: BaseException | None) -> Exception | None:
        """What to raise in the place of `error`, with which the body has ended; None: nothing else."""
        task, self._task = self._task, None
        if self._error is None or task is None:
            return None
        is_ours_alone = task.uncancel() <= self._cancelling
        if isinstance(error, asyncio.CancelledError):
            return self._error if is_ours_alone else None
        if is_ours_alone:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # the body ended before it was told, and this is where it would be
        return self._error if error is None else None
