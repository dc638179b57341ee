"""A way to the sockets process over TCP that a test can cut, freeze, or have swallow an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

HEAD_ENDS = b"\r\n\r\n"


class Proxy:
    """`answers_to_swallow`: so many answers that follow a handshake are read from the server and lost with their connection."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: set[_Connection] = set()
        self.port = 0
        self.accepted = 0
        self.swallowed = 0
        self.answers_to_swallow = 0
        self.is_closed = False
        self.says_instead: bytes | None = None
        """What is answered in the server's place."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Break what is open, on both sides."""
        for each in list(self._open):
            each.cut()

    def freeze(self) -> None:
        """Leave what is open half open: no byte goes on, and nobody is told."""
        for each in self._open:
            each.flowing.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.is_closed:
            writer.transport.abort()
            return
        if self.says_instead is not None:
            writer.write(self.says_instead)
            writer.close()
            return
        connection = _Connection(self, writer, *await asyncio.open_connection("127.0.0.1", self._target))
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(connection.pump(reader, connection.to_server))
                both.create_task(connection.answers())
        finally:
            connection.cut()
            self._open.discard(connection)


class _Connection:
    def __init__(
        self,
        proxy: Proxy,
        to_client: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
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

    async def answers(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.to_client.write(await self.from_server.readuntil(HEAD_ENDS))
            if self._proxy.answers_to_swallow:
                await self.from_server.readexactly(1)
                self._proxy.answers_to_swallow -= 1
                self._proxy.swallowed += 1
                self.cut()
        await self.pump(self.from_server, self.to_client)
