"""A small load generator: keep-alive HTTP/1.1 over asyncio streams, one request in flight on each connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Self


@dataclass(frozen=True)
class Measurement:
    clients: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, durations: Sequence[float], clients: int, seconds: float) -> Self:
        """`durations`: in seconds, of at least two requests."""
        cuts = quantiles(durations, n=100)
        return cls(clients, len(durations) / seconds, cuts[49] * 1e3, cuts[94] * 1e3, cuts[98] * 1e3)


@dataclass(frozen=True)
class Timing:
    """Seconds from the request to the first bytes of the answer's body, and to its end."""

    first: float
    end: float


def build_request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection:
    """Opens a connection when it has none, as after an answer that closes it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, data: bytes) -> Timing:
        """Raises RuntimeError for a status other than 200 and 201."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=1 << 20)
        reader, writer = self._streams
        began = time.perf_counter()
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head[:20] and b" 201 " not in head[:20]:
            raise RuntimeError((head + await reader.read(2000)).decode())
        first = await _read_body(reader, head)
        if b"connection: close" in head:
            self.close()
        return Timing(first - began, time.perf_counter() - began)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> float:
    """Return when the first bytes of the body came."""
    if b"content-length: " in head:
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return time.perf_counter()
    first = None
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
        first = first or time.perf_counter()
    await reader.readline()
    return first or time.perf_counter()


async def measure(port: int, data: bytes, clients: int, seconds: float) -> Measurement:
    """Repeat one request on each of `clients` connections. Raises RuntimeError for a status other than 200 and 201."""
    timings = await closed_loop([Connection("127.0.0.1", port) for _ in range(clients)], lambda _: data, seconds)
    return Measurement.of([each.end for each in timings], clients, seconds)


async def closed_loop(
    connections: Sequence[Connection], request: Callable[[int], bytes], seconds: float
) -> list[Timing]:
    """Each connection sends its next request when it has the answer to the last.

    `request`: of a connection, by its number.
    """
    end = time.perf_counter() + seconds

    async def client(number: int, connection: Connection) -> list[Timing]:
        timings = []
        while time.perf_counter() < end:
            timings.append(await connection.send(request(number)))
        connection.close()
        return timings

    each = await asyncio.gather(*(client(number, one) for number, one in enumerate(connections)))
    return [timing for timings in each for timing in timings]


async def open_loop(send: Callable[[], Awaitable[object]], rate: float, seconds: float) -> list[float]:
    """Send `rate` requests a second, whether answers come or not.

    Return the seconds from the time when each was due to its answer.
    """
    began = time.perf_counter()

    async def one(due: float) -> float:
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        await send()
        return time.perf_counter() - began - due

    return await asyncio.gather(*(one(number / rate) for number in range(int(rate * seconds))))
