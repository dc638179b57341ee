"""TCP proxies whose connections a test can cut, freeze, or deprive of replies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Self
from urllib.parse import parse_qs, urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
END_OF_HEAD = b"\r\n\r\n"


class FaultyProxy:
    """Forwards connections to a port of this machine.

    `is_refusing`: break new connections. `is_frozen`: new connections are half open, as after `freeze`.
    `is_dropping_replies`: break a connection when the server replies; `dropped` counts. `bytes_to_client` counts what
    the server sent.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._open: set[_Connection] = set()
        self._cuts = 0
        self.port = 0
        self.accepted = 0
        self.dropped = 0
        self.bytes_to_client = 0
        self.is_refusing = False
        self.is_frozen = False
        self.is_dropping_replies = False

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Break the open connections on both sides, and those that are being opened."""
        self._cuts += 1
        for each in list(self._open):
            each.cut()

    def freeze(self) -> int:
        """Make the open connections half open: forward nothing and close nothing. Returns how many."""
        flowing = [each for each in self._open if each.flowing.is_set()]
        for each in flowing:
            each.flowing.clear()
        return len(flowing)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """All connections are half open, as if the server's machine stood still."""
        self.is_frozen = True
        self.freeze()
        try:
            yield
        finally:
            self.is_frozen = False
            for each in self._open:
                each.flowing.set()

    async def _connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self._target_port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.is_refusing:
            writer.transport.abort()
            return
        cuts = self._cuts
        try:
            streams = await self._connect()
        except OSError:  # the server is down
            writer.transport.abort()
            return
        connection = _Connection(writer, *streams)
        if cuts != self._cuts:
            connection.cut()
            return
        if self.is_frozen:
            connection.flowing.clear()
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.pump(reader, connection.to_server))
                group.create_task(self._pump_replies(connection))
        finally:
            connection.cut()
            self._open.discard(connection)

    async def _pump_replies(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while chunk := await connection.from_server.read(65536):
                if self.is_dropping_replies:
                    self._drop(connection)
                    return
                await connection.flowing.wait()
                self.bytes_to_client += len(chunk)
                connection.to_client.write(chunk)
        connection.to_client.close()

    def _drop(self, connection: _Connection) -> None:
        self.dropped += 1
        connection.cut()


class PostgresProxy(FaultyProxy):
    """A proxy in front of the PostgreSQL of a URL, which may name a Unix socket. `url` leads through the proxy."""

    def __init__(self, url: str) -> None:
        super().__init__(0)
        self._parts = urlsplit(url)

    @property
    def url(self) -> str:
        credentials = self._parts.netloc.rpartition("@")[0]
        return f"postgresql://{credentials}@127.0.0.1:{self.port}{self._parts.path}"

    async def _connect(self) -> Streams:
        directory = parse_qs(self._parts.query).get("host")
        if directory is not None:
            return await asyncio.open_unix_connection(f"{directory[0]}/.s.PGSQL.5432")
        return await asyncio.open_connection(self._parts.hostname, self._parts.port or 5432)


class WebSocketProxy(FaultyProxy):
    """A proxy in front of a sockets process.

    `replies_to_drop`: how many connections break when the server's first reply after the handshake arrives.
    `canned_response`: what the proxy answers instead of connecting to the server.
    """

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.replies_to_drop = 0
        self.canned_response: bytes | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.canned_response is None or self.is_refusing:
            await super()._accept(reader, writer)
            return
        self.accepted += 1
        writer.write(self.canned_response)
        writer.close()

    async def _pump_replies(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            connection.to_client.write(await connection.from_server.readuntil(END_OF_HEAD))
            if self.replies_to_drop:
                await connection.from_server.readexactly(1)
                self.replies_to_drop -= 1
                self._drop(connection)
        await super()._pump_replies(connection)


class _Connection:
    def __init__(
        self, to_client: asyncio.StreamWriter, from_server: asyncio.StreamReader, to_server: asyncio.StreamWriter
    ) -> None:
        self.to_client, self.from_server, self.to_server = to_client, from_server, to_server
        self.flowing = asyncio.Event()
        self.flowing.set()

    def cut(self) -> None:
        self.flowing.set()
        for writer in (self.to_client, self.to_server):
            writer.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                await self.flowing.wait()
                writer.write(chunk)
        writer.close()
