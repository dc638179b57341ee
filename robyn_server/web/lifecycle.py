"""A web process from its first request to its exit code. Knows no framework.

    listening ──→ starting ──→ serving ──→ draining ──→ exit 0
                     │                        └ second signal → exit 130
                     └ Misconfigured → exit 2, anything else → exit 3

Robyn neither exits on SIGTERM nor lets requests finish, and its exit code is always 0. So the signals are taken back once it
serves, and the process is ended by us. While it drains, new requests get 503; the connection cannot be closed after it, because actix
takes a `connection: close` header off every answer.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from robyn_server.core.errors import Misconfigured

from .application import WebApplication
from .edge import LIVENESS, Edge

log = structlog.get_logger(__name__)

Build = Callable[[], Awaitable[WebApplication]]

EXIT_MISCONFIGURED = 2
EXIT_START_FAILED = 3
EXIT_INTERRUPTED = 130

REAP_SECONDS = 0.25
"""How often Python is made to drop what Rust let go of: a disconnect is noticed by nothing else."""

FLUSH_SECONDS = 0.2
"""For actix to write the last bytes, of which it gives no word."""

LAST_WORDS_SECONDS = 2.0
"""For cut-off producers to run their `finally`, and for exit functions."""

POLL_SECONDS = 0.02
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_process(code: int) -> NoReturn:
    """End the process with `code`. Exit functions run and logs are flushed, but nothing can hold it up for long."""
    watchdog = threading.Timer(LAST_WORDS_SECONDS, os._exit, (code,))
    watchdog.daemon = True
    watchdog.start()
    try:
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit skips them, and Robyn's threads rule out sys.exit
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


class Lifecycle:
    """Runs on the event loop that Robyn started. `listening` once, from Robyn's startup handler."""

    def __init__(
        self,
        edge: Edge,
        address: tuple[str, int],
        build: Build,
        on_ready: Callable[[], None],
        *,
        reap: Callable[[], object],
        drain_seconds: float,
    ) -> None:
        self._edge = edge
        self._address = address
        self._build = build
        self._on_ready = on_ready
        self._reap = reap
        self._drain_seconds = drain_seconds
        self._application: WebApplication | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._starting: asyncio.Task[None] | None = None

    def listening(self) -> None:
        """The socket is bound and requests are about to be answered; the rest happens in the background."""
        loop = asyncio.get_running_loop()
        self._take_signals(loop)
        self._tasks.append(loop.create_task(self._reap_forever()))
        self._starting = loop.create_task(self._start())

    async def _reap_forever(self) -> None:
        while True:
            await asyncio.sleep(REAP_SECONDS)
            self._reap()

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)  # else asyncio believes that its handler is still in place
            loop.add_signal_handler(number, self._signalled, number)

    async def _start(self) -> None:
        try:
            await self._answering()
            self._take_signals(asyncio.get_running_loop())
            log.info("web.listening", host=self._address[0], port=self._address[1], pid=os.getpid())
            await self._start_application()
        except Misconfigured as error:
            log.error("web.misconfigured", problem=error.detail, setting=error.field)  # noqa: TRY400 - the operator's, no trace
            exit_process(EXIT_MISCONFIGURED)
        except Exception:
            # A server that cannot start must say so and leave; its supervisor decides what next.
            log.exception("web.start_failed")
            exit_process(EXIT_START_FAILED)

    async def _start_application(self) -> None:
        application = await self._build()
        self._application = application
        await application.start()
        self._edge.serve(application)
        log.info("web.serving", routes=len(self._edge.routes))
        self._on_ready()

    async def _answering(self) -> None:
        """Wait until this process has answered. actix installs its signal handlers before it accepts, so it is done then.

        Siblings may share the port, hence our own count and not the response tells who answered.
        """
        while self._edge.answered == 0:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._knock()
            await asyncio.sleep(POLL_SECONDS)

    async def _knock(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(f"GET {LIVENESS} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            await reader.read()
        finally:
            writer.close()

    def _signalled(self, number: int) -> None:
        if self._edge.draining:
            log.warning("web.exit_now", signal=signal.Signals(number).name)
            exit_process(EXIT_INTERRUPTED)
        self._edge.draining = True
        log.info("web.draining", signal=signal.Signals(number).name)
        self._tasks.append(asyncio.get_running_loop().create_task(self._stop()))

    async def _stop(self) -> None:
        try:
            await self._drain()
            await self._stop_application()
        except Exception:
            # On the way out nothing may keep the process alive.
            log.exception("web.stop_failed")
        log.info("web.stopped")
        exit_process(0)

    async def _drain(self) -> None:
        """What can be resumed elsewhere ends now; everything else may finish within the grace, and is cut after it."""
        edge = self._edge
        edge.streams.end_resumable()
        finished = await _until(lambda: not edge.in_flight and not edge.streams.open, self._drain_seconds)
        if not finished:
            log.warning("web.drain_cut", in_flight=edge.in_flight, streams=edge.streams.open)
        edge.streams.cut_all()
        await _until(lambda: not edge.streams.producing, LAST_WORDS_SECONDS)
        await asyncio.sleep(FLUSH_SECONDS)

    async def _stop_application(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting], timeout=LAST_WORDS_SECONDS)
        if self._application is not None:
            async with asyncio.timeout(max(self._drain_seconds, LAST_WORDS_SECONDS)):
                await self._application.stop()


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
