"""Handle the first SIGTERM as a request to drain."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def on_first_sigterm(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` at the first SIGTERM, and restore the earlier handler for the second.

    Works in the main thread only; raises RuntimeError elsewhere.
    """
    previous = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def restore() -> None:
        if loop.remove_signal_handler(signal.SIGTERM):
            signal.signal(signal.SIGTERM, previous)

    def handle() -> None:
        restore()
        callback()

    loop.add_signal_handler(signal.SIGTERM, handle)
    try:
        yield
    finally:
        restore()


@contextlib.contextmanager
def on_first_sigterm_of_thread(callback: Callable[[], None]) -> Iterator[None]:
    """The same for a program without asyncio. `callback` must not block. Raises ValueError outside the main thread."""
    previous = signal.getsignal(signal.SIGTERM)

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, previous)
        callback()

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, previous)
