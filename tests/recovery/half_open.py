"""Connections that are left half open: a proxy in front of PostgreSQL that stops forwarding and closes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit


class Proxy:
    """A way to PostgreSQL over TCP whose connections can be left half open: no byte goes on, and nobody is told."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._flowing: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        credentials = self._parts.netloc.rpartition("@")[0]
        return f"postgresql://{credentials}@127.0.0.1:{self._port}{self._parts.path}"

    def freeze(self) -> int:
        """Those that are open now, for good; later ones flow. Returns how many."""
        frozen = [each for each in self._flowing if each.is_set()]
        for each in frozen:
            each.clear()
        return len(frozen)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flowing = asyncio.Event()
        flowing.set()
        self._flowing.append(flowing)
        their_reader, their_writer = await self._connect()
        for source, target in ((reader, their_writer), (their_reader, writer)):
            task = asyncio.create_task(_pump(source, target, flowing))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folder = parse_qs(self._parts.query).get("host")
        if folder is not None:
            return await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.5432")
        return await asyncio.open_connection(self._parts.hostname, self._parts.port or 5432)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
    with contextlib.suppress(OSError), contextlib.closing(target):
        while chunk := await source.read(65536):
            await flowing.wait()
            target.write(chunk)
