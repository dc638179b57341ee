"""SIGTERM as a wish and not as an end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def on_sigterm(wish: Callable[[], None]) -> Iterator[None]:
    """The first SIGTERM calls `wish`; the second does what it did before. The main thread's loop only (else RuntimeError)."""
    before = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def give_back() -> None:
        if loop.remove_signal_handler(signal.SIGTERM):
            signal.signal(signal.SIGTERM, before)

    def first() -> None:
        give_back()
        wish()

    loop.add_signal_handler(signal.SIGTERM, first)
    try:
        yield
    finally:
        give_back()
