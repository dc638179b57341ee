"""A server behind a proxy of a test that echoes requests, and raw requests to the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson

PORT_RANGE = range(20_000, 32_000)
"""Below the ports of outgoing connections (ip_local_port_range in ip(7)), so a chosen port stays free."""


async def read_response(reader: asyncio.StreamReader) -> bytes:
    """Read one response by its length. A server that refuses a body may read the rest of it, and close much later."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def request_head(path: str, *headers: str, method: str = "POST") -> bytes:
    """Build the head of a raw request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: agents.example.com", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def unused_port() -> int:
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", random.choice(PORT_RANGE)))
            return int(probe.getsockname()[1])


class EchoServer:
    """An HTTP server that answers each request with its `line`, `headers` (names in lower case) and `body`.

    `?status=` sets the status.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.lines: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.split(": ", 1) for line in head[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), head
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.lines.append(head[0])
        echo = orjson.dumps({"line": head[0], "headers": headers, "body": body.decode()})
        query = re.search(r"[?]status=(\d+)", head[0])
        status = int(query[1]) if query else 200
        writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, len(echo)) + echo)
        await writer.drain()


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[EchoServer]:
    echo = EchoServer(0)
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = int(server.sockets[0].getsockname()[1])
    try:
        yield echo
    finally:
        server.close()


def echoed_request(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
