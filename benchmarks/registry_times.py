"""How soon it is known: a change to its subscribers, a death to those who look for work's place."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import orjson

from .load import request
from .registry_client import Job, registered
from .registry_http import Connection, connected, registering
from .registry_place import Place
from .registry_rows import Row, percentiles
from .registry_sockets import clients

SUBSCRIBERS = 1000
_CHANGES = 20
_EVERY = 0.5
_TOLD = re.compile(rb'"instance_id":"(told-\d+)"')


async def changes(place: Place) -> list[Row]:
    """From the moment a registration is asked for to the moment a subscriber has read of it; the first is not counted."""
    rows = [await _over_sse(place)]
    async with clients(place.sockets_port, Job(SUBSCRIBERS, "", watch=True)) as watchers:
        before = place.cpu()
        asked = await _register_some(place, 1000)
        await asyncio.sleep(2)
        cost = place.cpu().since(before, _CHANGES)
        seen = [tuple(each) for answer in await watchers.ask("seen") for each in answer["seen"]]
    rows.append(_row("WebSockets", _latencies(asked, seen), cost))
    return rows


def _row(way: str, latencies: list[float], cost: str) -> Row:
    missing = SUBSCRIBERS * (_CHANGES - 1) - len(latencies)
    p50, p99 = percentiles(latencies)
    reached = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms over {len(latencies):,}; {missing} not told; {cost}"
    return Row(f"change to {SUBSCRIBERS:,} subscribers, {way}", "p99 250 ms", reached, p99 <= 250 and missing == 0)


async def _register_some(place: Place, first: int) -> dict[str, float]:
    connection, asked = await connected(place.http_port), {}
    for number in range(first, first + _CHANGES):
        asked[f"told-{number}"] = time.monotonic()
        await connection.send(registering("told-agent", f"told-{number}"))
        await asyncio.sleep(_EVERY)
    return asked


def _latencies(asked: dict[str, float], seen: list[Any]) -> list[float]:
    warm = next(iter(asked))
    return [at - asked[name] for name, at in seen if name in asked and name != warm]


async def _over_sse(place: Place) -> Row:
    seen: list[tuple[str, float]] = []
    readers = [asyncio.create_task(_read(place.http_port, seen)) for _ in range(SUBSCRIBERS)]
    await asyncio.sleep(5)
    before = place.cpu()
    asked = await _register_some(place, 0)
    await asyncio.sleep(2)
    cost = place.cpu().since(before, _CHANGES)
    for reader in readers:
        reader.cancel()
    for outcome in await asyncio.gather(*readers, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
    return _row("Server-Sent Events", _latencies(asked, seen), cost)


async def _read(port: int, seen: list[tuple[str, float]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("GET", "/agents/watch"))
    left = b""
    try:
        while data := await reader.read(65536):
            now = time.monotonic()
            left += data
            whole, mark, left = left.rpartition(b"\r\n")
            seen += [(name.decode(), now) for name in _TOLD.findall(whole + mark)]
    finally:
        writer.close()
    raise RuntimeError("a stream of changes ended")


# deaths


async def deaths(place: Place) -> list[Row]:
    http, closing, open_still = await asyncio.gather(_silent_http(place), _clean_close(place), _half_open(place))
    noticed, gone = open_still
    return [
        Row("silent HTTP instance out of routing", "17 s", f"{http:.1f} s", http <= 17),
        Row("clean close of a WebSocket out of routing", "1 s", f"{closing:.2f} s", closing <= 1),
        Row("half-open WebSocket noticed, after its last byte", "15 s", f"{noticed:.1f} s", noticed <= 15),
        Row("its instance out of routing", "", f"{gone:.1f} s"),
    ]


async def _silent_http(place: Place) -> float:
    connection = await connected(place.http_port)
    began = time.monotonic()
    await connection.send(registering("silent-agent", "silent"))
    return await _gone(connection, "silent") - began


async def _clean_close(place: Place) -> float:
    socket = await registered(place.sockets_port, "closing")
    connection = await connected(place.http_port)
    began = time.monotonic()
    socket.say(8, (1000).to_bytes(2, "big"))
    return await _gone(connection, "closing") - began


async def _half_open(place: Place) -> tuple[float, float]:
    """It reads no more and writes no more, and its connection stays."""
    socket = await registered(place.sockets_port, "half-open")
    socket.is_mute = True
    began = time.monotonic()
    gone = await _gone(await connected(place.http_port), "half-open") - began
    closed_at = await _until(lambda: socket.closed_at)
    return closed_at - began, gone


async def _until(found: Callable[[], float | None]) -> float:
    async with asyncio.timeout(60):
        while (value := found()) is None:
            await asyncio.sleep(0.02)
    return value


async def _gone(connection: Connection, instance_id: str) -> float:
    """When it was no longer among those that can be given work."""
    asked = request("GET", "/agents/instances?limit=100")
    async with asyncio.timeout(120):
        while True:
            status, body = await connection.send(asked)
            if status == 200 and instance_id not in [each["instance_id"] for each in orjson.loads(body)["instances"]]:
                return time.monotonic()
            await asyncio.sleep(0.05)
