"""A way to a server on which replies get lost: the request arrives, is done, and the connection breaks before the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class LossyWay:
    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.losing = False
        self.lost = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[LossyWay]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, onward = await asyncio.open_connection("127.0.0.1", self._target)
        asking = asyncio.create_task(_pump(reader, onward))
        try:
            while answer := await back.read(65536):
                if self.losing:
                    self.lost += 1
                    writer.transport.abort()
                    return
                writer.write(answer)
                await writer.drain()
        finally:
            asking.cancel()
            onward.close()
            writer.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await source.read(65536):
            target.write(some)
