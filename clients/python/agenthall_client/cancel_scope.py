"""Cancel the body of an `async with` when something else fails, and raise that failure in place of the cancellation."""

from __future__ import annotations

import asyncio
import contextlib


class CancelScope:
    """Like asyncio.timeout: the scope swallows its own cancellation and lets every other one through."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._error: Exception | None = None

    def enter(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0

    def cancel(self, error: Exception) -> None:
        """Cancel the body; `exit` returns the first `error` given."""
        if self._task is not None and self._error is None:
            self._error = error
            self._task.cancel(str(error))

    async def exit(self, error: BaseException | None) -> Exception | None:
        """Return what to raise in place of `error`, which ended the body. None: raise nothing else."""
        task, self._task = self._task, None
        if self._error is None or task is None:
            return None
        is_only_cancellation = task.uncancel() <= self._cancelling
        if isinstance(error, asyncio.CancelledError):
            return self._error if is_only_cancellation else None
        if is_only_cancellation:
            # The body ended before the cancellation was delivered. It is delivered here.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        return self._error if error is None else None
