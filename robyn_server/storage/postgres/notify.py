"""Wake-ups between processes by NOTIFY and LISTEN.

Rules
  1. A notification carries ids and is only a hint: every listener also polls.
  2. A transaction that writes sends no NOTIFY, because that takes a lock which serializes commits. Notifications are
     collected and sent afterwards, on a connection of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from robyn_server.concurrency.periodic import backoff
from robyn_server.core.errors import Unavailable
from robyn_server.core.ids import find_uuid

from .pools import open_connection, open_listening_connection
from .queries import load

RUNS = "agenthall_runs"
"""Channel. Payload: empty (a run may be claimed), or `cancel`."""

EVENTS = "agenthall_events"
"""Channel. Payload: ids of runs with new events, separated by commas."""

THREADS = "agenthall_threads"
"""Channel. Payload: ids of threads of which a run begins, separated by commas."""

_IDS_PER_PAYLOAD = 200  # 37 bytes each; a payload has less than 8,000 bytes
_ANSWER_SECONDS = 3.0
_ASK_SECONDS = 5.0
"""A half-open connection is detected within the sum of both."""

_SQL = load("postgres/notify")
_log = structlog.get_logger(__name__)


class Notifier:
    """Sends the notifications collected since the last send in one statement. One statement is in flight at a time."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._pending: dict[str, set[str]] = {}
        self._wake = asyncio.Event()
        self._connection: Any = None
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=f"{self._name} notifier")

    async def stop(self) -> None:
        """Send what is pending if possible, and stop."""
        if self._task is not None:
            with contextlib.suppress(*_BROKEN):
                await self._send()
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._disconnect()

    def notify(self, channel: str, payloads: Iterable[str] = ("",)) -> None:
        """Queue notifications without waiting. One that cannot be sent is dropped: the listener polls."""
        self._pending.setdefault(channel, set()).update(payloads)
        self._wake.set()

    async def _loop(self) -> None:
        with contextlib.suppress(*_BROKEN):
            await self._connect()  # so that the first notification does not wait for it
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._send()
            except Exception as error:  # noqa: BLE001 - dropped: the listener polls
                _log.warning("notification dropped", error=repr(error))
                await self._disconnect()
                await asyncio.sleep(0.2)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await closed(connection)

    async def _send(self) -> None:
        async with self._sending:
            await self._send_pending()

    async def _send_pending(self) -> None:
        pending, self._pending = self._pending, {}
        pairs = [pair for channel, payloads in pending.items() for pair in _packed(channel, payloads)]
        if not pairs:
            return
        channels, texts = zip(*pairs, strict=True)
        query = _SQL["send_pending"].bind(channels=list(channels), payloads=list(texts))
        await (await self._connect()).fetch(*query, timeout=_ANSWER_SECONDS)

    async def _connect(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await open_connection(self._dsn, None, name=f"{self._name} notify")
        return self._connection


def ids_in(payload: str) -> list[UUID]:
    """The ids that a payload names, separated by commas. Other text is left out: anybody may notify."""
    return [found for text in payload.split(",") if (found := find_uuid(text)) is not None]


_BROKEN = (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


async def closed(connection: Any) -> None:
    """Close a connection within a second, or drop it."""
    try:
        await connection.close(timeout=1)
    except _BROKEN:
        connection.terminate()


def _packed(channel: str, payloads: set[str]) -> list[tuple[str, str]]:
    ids = sorted(payloads)
    return [(channel, ",".join(ids[at : at + _IDS_PER_PAYLOAD])) for at in range(0, len(ids), _IDS_PER_PAYLOAD)]


class Listener:
    """A listening connection, reopened when it breaks.

    `on_connect` is called after each connect, so that the caller polls.
    """

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
            except Exception as error:  # noqa: BLE001 - the connection is reopened after any error
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
            while not await _within(_ASK_SECONDS, gone):  # a query detects a half-open connection
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
