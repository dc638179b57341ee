"""A WebSocket client that sends whatever bytes it is given."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from deadlines import DEADLINE

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FINAL, COMPRESSED = 0x80, 0x40


def handshake(port: int, *lines: str) -> bytes:
    """An upgrade request (RFC 6455, section 4.1). `lines`: more headers."""
    usual = (
        "GET /ws HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join((*usual, *lines, "", "")).encode("latin-1")


def frame(payload: bytes, first: int = FINAL | TEXT, *, size: int | None = None, masked: bool = True) -> bytes:
    """`first`: flags and opcode. `size`: the length that it claims, if another than it has."""
    length = len(payload) if size is None else size
    mask = 0x80 if masked else 0
    if length < 126:
        head = struct.pack("!BB", first, mask | length)
    elif length < 2**16:
        head = struct.pack("!BBH", first, mask | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask | 127, length)
    return head + (bytes(4) if masked else b"") + payload


class RawSocket:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def open(self, port: int, *lines: str) -> bytes:
        """Shake hands. Returns the head of the response."""
        await self.send(handshake(port, *lines))
        async with asyncio.timeout(DEADLINE):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """The server may have closed the connection meanwhile."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def read_frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame. Raises IncompleteReadError at the end."""
        async with asyncio.timeout(DEADLINE):
            first, length = await self._reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
            return first & 0xF, await self._reader.readexactly(length)

    async def close_code(self) -> int | None:
        """The code with which the server closes; None when it closes without one."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await self.read_frame()
                if opcode == CLOSE:
                    return struct.unpack("!H", payload[:2])[0] if payload else None
        return None


@contextlib.asynccontextmanager
async def raw_socket(port: int) -> AsyncIterator[RawSocket]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()
