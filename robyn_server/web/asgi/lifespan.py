"""The lifespan protocol: an app's startup before the first request, and its shutdown after the last.

As with other servers, an app that raises before it takes part in the protocol is served without it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from robyn_server.core.errors import Misconfigured

from .loading import SETTING
from .protocol import LIFESPAN_VERSIONS, App, Message

_log = structlog.get_logger(__name__)


class Lifespan:
    """`state`: what the app put into the state of the scope, for its requests."""

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._events: asyncio.Queue[str] = asyncio.Queue()
        self._replies: dict[str, asyncio.Event] = {"startup": asyncio.Event(), "shutdown": asyncio.Event()}
        self._failures: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Wait for the app's startup. Raises Misconfigured when it fails."""
        self._task = asyncio.create_task(self._run(), name="http.app lifespan")
        self._events.put_nowait("startup")
        try:
            await self._replies["startup"].wait()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if (failure := self._failures.get("startup")) is not None:
            _log.error("http.app: startup failed", message=failure)
            raise Misconfigured(f"{SETTING}: the startup of the app failed: {_last_line(failure)}", field=SETTING)

    async def stop(self, seconds: float) -> None:
        """Wait for the app's shutdown, at most `seconds`."""
        if self._task is None or self._task.done():
            return
        self._events.put_nowait("shutdown")
        try:
            async with asyncio.timeout(seconds):
                await self._replies["shutdown"].wait()
        except TimeoutError:
            _log.warning("http.app: shutdown is overdue", seconds=seconds)
        if (failure := self._failures.get("shutdown")) is not None:
            _log.error("http.app: shutdown failed", message=failure)
        self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(LIFESPAN_VERSIONS), "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - an app may raise anything
            if not self._replies["startup"].is_set():
                _log.info("http.app takes no part in the lifespan", error=repr(error))
        finally:
            for reply in self._replies.values():
                reply.set()

    async def _receive(self) -> Message:
        return {"type": f"lifespan.{await self._events.get()}"}

    async def _send(self, message: Message) -> None:
        _, event, outcome = message["type"].split(".")
        if outcome == "failed":
            self._failures[event] = str(message.get("message", ""))
        self._replies[event].set()


def _last_line(text: str) -> str:
    """The error at the end of a traceback."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it gave no reason"
