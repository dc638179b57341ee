"""NOTIFY and LISTEN: wake-ups between processes. They carry ids and are never the truth: every listener also polls.

A NOTIFY never rides in a transaction that writes (it would take a lock that serialises all commits): it is sent afterwards,
gathered, on a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from robyn_server.core.errors import Unavailable
from robyn_server.storage.database import open_connection

from .background import backoff

RUNS = "agenthall_runs"
"""Payload: empty (a run may be claimed), or `cancel`."""

EVENTS = "agenthall_events"
"""Payload: ids of runs with new events, comma separated."""

_IDS_PER_PAYLOAD = 200  # 37 bytes each; PostgreSQL takes less than 8,000
_log = structlog.get_logger(__name__)


class Notifier:
    """Sends what was gathered since the last send, in one statement; one statement in flight."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._gathered: dict[str, set[str]] = {}
        self._wake = asyncio.Event()
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=f"{self._name} notifier")

    async def stop(self) -> None:
        if self._task is not None:
            with contextlib.suppress(Unavailable):
                await self._send()
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            await self._connection.close(timeout=1)

    def notify(self, channel: str, payloads: Iterable[str] = ("",)) -> None:
        """Never waits. A notification that cannot be sent is dropped: the other side polls."""
        self._gathered.setdefault(channel, set()).update(payloads)
        self._wake.set()

    async def _loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._send()
            except Exception as error:  # noqa: BLE001 - dropped: the other side polls
                _log.warning("notification dropped", error=repr(error))
                self._connection = None
                await asyncio.sleep(0.2)

    async def _send(self) -> None:
        gathered, self._gathered = self._gathered, {}
        pairs = [pair for channel, payloads in gathered.items() for pair in _packed(channel, payloads)]
        if not pairs:
            return
        if self._connection is None or self._connection.is_closed():
            self._connection = await open_connection(self._dsn, None, name=f"{self._name} notify")
        channels, texts = zip(*pairs, strict=True)
        await self._connection.fetch(
            "select pg_notify(channel, payload) from unnest($1::text[], $2::text[]) as n (channel, payload)",
            list(channels),
            list(texts),
        )


def _packed(channel: str, payloads: set[str]) -> list[tuple[str, str]]:
    ids = sorted(payloads)
    return [(channel, ",".join(ids[at : at + _IDS_PER_PAYLOAD])) for at in range(0, len(ids), _IDS_PER_PAYLOAD)]


class Listener:
    """One connection that listens, made again when it breaks. `on_connect` is called after each (re)connect: look for yourself."""

    def __init__(
        self, dsn: str, name: str, channels: Mapping[str, Callable[[str], None]], on_connect: Callable[[], None]
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._channels = channels
        self._on_connect = on_connect
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=f"{self._name} listener")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _loop(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except Exception as error:  # noqa: BLE001 - whatever broke the connection, it is made again
                _log.warning("listener lost its connection", name=self._name, error=repr(error))
            self.connected = False
            failures += 1
            await asyncio.sleep(backoff(failures, 0.1, 5.0))

    async def _listen(self) -> None:
        connection = await open_connection(self._dsn, None, name=f"{self._name} listen")
        try:
            for channel, callback in self._channels.items():
                await connection.add_listener(channel, _adapted(callback))
            self.connected = True
            self._on_connect()
            while True:  # a half-open connection is noticed by asking
                await asyncio.sleep(10)
                await connection.execute("select 1", timeout=5)
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)


def _adapted(callback: Callable[[str], None]) -> Callable[[Any, int, str, object], None]:
    return lambda _connection, _pid, _channel, payload: callback(str(payload))
