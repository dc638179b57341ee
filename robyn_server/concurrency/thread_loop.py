"""An event loop in a thread of its own, for work that must go on while the main loop is blocked.

The thread needs the interpreter's lock, so a call that keeps the lock stops both loops.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadLoop:
    """Call `start` before use and `stop` after, from the main loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the thread's loop, soon."""
        self._loop.call_soon_threadsafe(function, *arguments)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the thread's loop and return its result."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def stop(self) -> None:
        self.call(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
