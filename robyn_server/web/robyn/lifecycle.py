"""The life cycle of a web process, from its first request to its exit code.

    listening ──→ starting ──→ serving ──→ draining ──→ exit 0
                     │                        └ second signal → exit 130
                     └ Misconfigured → exit 2, anything else → exit 3

Robyn neither exits on SIGTERM nor lets requests finish, and its exit code is always 0. So we install our signal
handlers once it serves, and end the process ourselves. While it drains, new requests get 503. Their connections cannot
be closed, because actix removes a `connection: close` header from every reply.
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
from robyn_server.web.edge.application import WebApplication
from robyn_server.web.edge.edge import LIVENESS, Edge

log = structlog.get_logger(__name__)

Build = Callable[[], Awaitable[WebApplication]]

EXIT_MISCONFIGURED = 2
EXIT_START_FAILED = 3
EXIT_INTERRUPTED = 130

REAP_SECONDS = 0.25
"""Interval at which Python drops objects that Rust has released: the only way to notice a disconnect."""

FLUSH_SECONDS = 0.2
"""Time for actix to write the last bytes; it does not report when it has."""

CLEANUP_SECONDS = 2.0
"""Time for cancelled producers to run their `finally`, and for exit functions."""

POLL_SECONDS = 0.02
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_process(code: int) -> NoReturn:
    """End the process with `code`. Exit functions run and logs are flushed, within CLEANUP_SECONDS."""
    watchdog = threading.Timer(CLEANUP_SECONDS, os._exit, (code,))
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
    """Runs on the event loop that Robyn started. Robyn's startup handler calls `listening` once."""

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
        """The socket is bound. Start the application in the background."""
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
            loop.remove_signal_handler(number)  # else asyncio assumes that its handler is installed
            loop.add_signal_handler(number, self._signalled, number)

    async def _start(self) -> None:
        try:
            await self._wait_until_answering()
            self._take_signals(asyncio.get_running_loop())
            log.info("web.listening", host=self._address[0], port=self._address[1], pid=os.getpid())
            await self._start_application()
        except Misconfigured as error:
            log.error("web.misconfigured", problem=error.detail, setting=error.field)  # noqa: TRY400 - the operator's, no trace
            exit_process(EXIT_MISCONFIGURED)
        except Exception:
            # A server that cannot start exits; its supervisor decides what next.
            log.exception("web.start_failed")
            exit_process(EXIT_START_FAILED)

    async def _start_application(self) -> None:
        application = await self._build()
        self._application = application
        await application.start()
        self._edge.serve(application)
        log.info("web.serving", routes=len(self._edge.routes))
        self._on_ready()

    async def _wait_until_answering(self) -> None:
        """Wait until this process has answered a request: actix installs its signal handlers before it accepts.

        Other processes may share the port, so our own count tells that this process answered, and not the response.
        """
        while self._edge.answered == 0:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._request_liveness()
            await asyncio.sleep(POLL_SECONDS)

    async def _request_liveness(self) -> None:
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
        """End resumable streams now. Other requests may finish within the grace period, and are cut afterwards."""
        edge = self._edge
        edge.streams.end_resumable()
        finished = await _until(lambda: not edge.in_flight and not edge.streams.open, self._drain_seconds)
        if not finished:
            log.warning("web.drain_cut", in_flight=edge.in_flight, streams=edge.streams.open)
        edge.streams.truncate_all()
        await _until(lambda: not edge.streams.producing, CLEANUP_SECONDS)
        await asyncio.sleep(FLUSH_SECONDS)

    async def _stop_application(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting], timeout=CLEANUP_SECONDS)
        if self._application is not None:
            async with asyncio.timeout(max(self._drain_seconds, CLEANUP_SECONDS)):
                await self._application.stop()


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether `condition` became true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
