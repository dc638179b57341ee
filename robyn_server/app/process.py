"""The life of a process without a web server: start services, report readiness, stop after a signal."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Protocol

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.metrics import refresh
from robyn_server.supervisor.readiness import announce_ready

_REFRESH_SECONDS = 1.0
"""Maximum age of a gauge in another process's answer to a scrape."""
_log = structlog.get_logger(__name__)


def tune_garbage_collection() -> None:
    """Collect cycles rarely, because a full collection stops the process.

    With 10,000 open sockets it takes half a second: the p99 of a reply is 680 ms with the default and 75 ms with these
    settings. Objects that exist after the imports are never examined. Few of them are garbage (3,000 of 67,000 in a web
    process), and to find those takes 50 ms. Later objects are examined, because many errors are cycles. Closed
    WebSockets and streams are not (`sockets/connection.py`, `web/streams/bridge.py`).

    A full collection of a worker, which has imported LangGraph, takes 0.1 to 0.9 s. It learns of no cancellation
    meanwhile.
    """
    exempt_from_collection()
    gc.set_threshold(10_000, 20, 10)
    gc.enable()


def exempt_from_collection() -> None:
    """Let no collection examine the objects that exist now. Takes no time."""
    gc.freeze()


class Service(Protocol):
    def start(self) -> None: ...
    async def stop(self) -> None: ...


def start_services(closing: AsyncExitStack, *services: Service) -> None:
    """Start services in this order; `closing` stops them in reverse order."""
    for service in services:
        service.start()
        closing.push_async_callback(service.stop)


def metrics_refresh() -> Periodic:
    return Periodic("metrics", refresh, _REFRESH_SECONDS)


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def end_within(seconds: float) -> None:
    """End this process, which has stopped, although threads of libraries go on: a run tree that is sent to LangSmith
    may hang for minutes."""
    logging.shutdown()
    watchdog = threading.Timer(seconds, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()


async def run_until_signal(name: str, start: Coroutine[Any, Any, None]) -> None:
    """Run `start`, report readiness, and return after a signal. A signal cancels a start that is under way.

    Raises the errors of `start`. The caller stops the started services.
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
