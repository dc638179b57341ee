"""A small load generator: keep-alive HTTP/1.1 over asyncio streams, one request in flight on each connection."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True)
class Measurement:
    clients: int
    per_second: float
    p50_ms: float
    p99_ms: float


def build_request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def measure(port: int, data: bytes, clients: int, seconds: float) -> Measurement:
    """Repeat one request on each of `clients` connections. Raises RuntimeError for a status other than 200."""
    end = time.perf_counter() + seconds
    durations = await asyncio.gather(*(_client(port, data, end) for _ in range(clients)))
    times = sorted(each for client in durations for each in client)
    cuts = quantiles(times, n=100)
    return Measurement(clients, len(times) / seconds, cuts[49] * 1e3, cuts[98] * 1e3)


async def _client(port: int, data: bytes, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    while (started := time.perf_counter()) < end:
        writer.write(data)
        await _read_response(reader)
        times.append(time.perf_counter() - started)
    writer.close()
    return times


async def _read_response(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode())
    if b"content-length: " in head:
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    await reader.readline()
