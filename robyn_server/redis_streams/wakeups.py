"""Wake-ups of readers by the channel on which workers publish the ids of runs with new events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from robyn_server.concurrency.periodic import backoff
from robyn_server.core.errors import AgenthallError

from .client import Client, translated

_log = structlog.get_logger(__name__)
_QUIET_SECONDS = 5.0
"""After this time without a message, a ping is sent. A connection without an answer for as long is half open."""


class Wakeups:
    """A subscription, made again when it breaks. A message is only a hint: every reader also polls.

    `on_connect` is called after each connect, so that readers look for what they were not told of.
    """

    def __init__(
        self, client: Client, url: str, channel: str, on_message: Callable[[str], None], on_connect: Callable[[], None]
    ) -> None:
        self._client = client
        self._url = url
        self._channel = channel
        self._on_message = on_message
        self._on_connect = on_connect
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name="redis wake-ups")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _loop(self) -> None:
        failures = 0
        while True:
            try:
                with translated(self._url):
                    await self._listen()
            except AgenthallError as error:
                failures += 1
                if failures == 1:
                    _log.warning("redis wake-ups are interrupted", error=error.detail)
            await asyncio.sleep(backoff(max(failures, 1), 0.2, 5.0))

    async def _listen(self) -> None:
        async with self._client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            is_asked = False
            while True:
                message = await subscription.get_message(timeout=_QUIET_SECONDS)
                if message is None and is_asked:
                    raise TimeoutError
                if message is None:
                    await subscription.ping()
                else:
                    self._handle(message)
                is_asked = message is None

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            self._on_message(message["data"].decode())
        elif message["type"] == "subscribe":  # also when the client library has connected again
            self._on_connect()
