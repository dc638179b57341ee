"""The life of a process without a web server: it begins, starts its parts, says that it is ready, and leaves after a signal."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Protocol

import structlog

from robyn_server.metrics import refresh
from robyn_server.runtime.background import Periodic
from robyn_server.runtime.readiness import announce_ready

_MEASURE_SECONDS = 1.0
"""How old a gauge may be in another process's answer to a scrape."""
_log = structlog.get_logger(__name__)


def collect_seldom() -> None:
    """Looking for cycles among all objects stops everybody: with 10,000 sockets open for half a second, p99 of an answer 680 ms against 75.

    What is here after the imports stays and is not looked through again; the rest less often than by default, yet it is: many errors are
    such cycles. Closed WebSockets and streams are none (`sockets/connection.py`, `web/stream.py`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 10)


class Part(Protocol):
    def start(self) -> None: ...
    async def stop(self) -> None: ...


def start_parts(closing: AsyncExitStack, *parts: Part) -> None:
    """In this order; `closing` stops them in the opposite one."""
    for part in parts:
        part.start()
        closing.push_async_callback(part.stop)


def measuring() -> Periodic:
    return Periodic("metrics", refresh, _MEASURE_SECONDS)


def stop_signal() -> asyncio.Event:
    """Set at SIGTERM and SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def run_until_signal(name: str, start: Coroutine[Any, Any, None]) -> None:
    """Returns after a signal; a start that is still under way then is given up. Raises what `start` does.

    What was started is the caller's to stop.
    """
    stopping = stop_signal()
    starting = asyncio.create_task(start, name=f"start {name}")
    waiting = asyncio.create_task(stopping.wait(), name="wait for a signal")
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return
    starting.result()
    announce_ready()
    await waiting
    _log.info("process stops", process=name)
