"""NOTIFY and LISTEN: wake-ups between processes. They carry ids and are never the truth: every listener also polls.

A NOTIFY never rides in a transaction that writes (it would take a lock that serialises all commits): it is sent afterwards,
gathered, on a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import asyncpg
import structlog

from robyn_server.core.errors import Unavailable
from robyn_server.storage.database import open_connection, open_listening_connection

from .background import backoff

RUNS = "agenthall_runs"
"""Payload: empty (a run may be claimed), or `cancel`."""

EVENTS = "agenthall_events"
"""Payload: ids of runs with new events, comma separated."""

_IDS_PER_PAYLOAD = 200  # 37 bytes each; PostgreSQL takes less than 8,000
_ANSWER_SECONDS = 3.0
_ASK_SECONDS = 5.0
"""A connection that is half open is noticed within the sum of both."""

_log = structlog.get_logger(__name__)


class Notifier:
    """Sends what was gathered since the last send, in one statement; one statement in flight."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._gathered: dict[str, set[str]] = {}
        self._wake = asyncio.Event()
        self._connection: Any = None
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=f"{self._name} notifier")

    async def stop(self) -> None:
        """Sends what was gathered, if that is possible, and stops."""
        if self._task is not None:
            with contextlib.suppress(*_BROKEN):
                await self._send()
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._disconnect()

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
                await self._disconnect()
                await asyncio.sleep(0.2)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await closed(connection)

    async def _send(self) -> None:
        async with self._sending:
            await self._send_gathered()

    async def _send_gathered(self) -> None:
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
            timeout=_ANSWER_SECONDS,
        )


_BROKEN = (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


async def closed(connection: Any) -> None:
    """Closes it, politely for a second. One that hangs or is broken is left to the kernel."""
    try:
        await connection.close(timeout=1)
    except _BROKEN:
        connection.terminate()


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
            except Exception as error:  # noqa: BLE001 - whatever broke the connection, it is made again
                _log.warning("listener lost its connection", name=self._name, error=repr(error))
            failures = 1 if self.connected else failures + 1
            self.connected = False
            await asyncio.sleep(backoff(failures, 0.1, 5.0))

    async def _listen(self) -> None:
        connection = await open_listening_connection(self._dsn, name=f"{self._name} listen")
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _connection: gone.set())
        try:
            for channel, callback in self._channels.items():
                await connection.add_listener(channel, _adapted(callback))
            self.connected = True
            self._on_connect()
            while not await _within(_ASK_SECONDS, gone):  # one that is half open is noticed by asking
                await connection.execute("select 1", timeout=_ANSWER_SECONDS)
            raise Unavailable("The database closed the connection")
        finally:
            await closed(connection)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _adapted(callback: Callable[[str], None]) -> Callable[[Any, int, str, object], None]:
    return lambda _connection, _pid, _channel, payload: callback(str(payload))
