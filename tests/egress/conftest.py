"""A server on loopback that counts its connections, over IPv4 and IPv6."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


class CountingServer:
    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self.answer = ANSWER

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        self._servers = [await asyncio.start_server(self._accept, "127.0.0.1", 0)]
        self.port = self._servers[0].sockets[0].getsockname()[1]
        self._servers.append(await asyncio.start_server(self._accept, "::1", self.port))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
async def server() -> AsyncIterator[CountingServer]:
    made = CountingServer()
    await made.start()
    yield made
    made.close()


class FakeResolver:
    """Answers each question with the next of `answers`, and then with the last."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture(name="resolver")
def _resolver() -> type[FakeResolver]:
    return FakeResolver
