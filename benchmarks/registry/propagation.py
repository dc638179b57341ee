"""Measure how soon subscribers see a change, and how soon a dead instance leaves discovery."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks.http_load import build_request

from .environment import Environment
from .live_sockets import start_clients
from .report import Row, percentiles
from .rest_api import Connection, connect, registration_request
from .socket_client import Job, open_registered_socket

SUBSCRIBERS = 1000
_CHANGES = 20
_INTERVAL = 0.5
_EVENT_ID = re.compile(rb'"instance_id":"(told-\d+)"')


async def measure_changes(environment: Environment) -> list[Row]:
    """Time from a registration until a subscriber has read its event. The first registration is a warm-up."""
    rows = [await _over_sse(environment)]
    async with start_clients(environment.sockets_port, Job(SUBSCRIBERS, "", watch=True)) as watchers:
        before = environment.cpu_time()
        started_at = await _register_instances(environment, 1000)
        await asyncio.sleep(2)
        cost = environment.cpu_time().describe_since(before, _CHANGES)
        seen = [tuple(each) for answer in await watchers.send_command("seen") for each in answer["seen"]]
    rows.append(_row("WebSockets", _latencies(started_at, seen), cost))
    return rows


def _row(way: str, latencies: list[float], cost: str) -> Row:
    missing = SUBSCRIBERS * (_CHANGES - 1) - len(latencies)
    p50, p99 = percentiles(latencies)
    reached = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms over {len(latencies):,}; {missing} missing; {cost}"
    return Row(f"change to {SUBSCRIBERS:,} subscribers, {way}", "p99 250 ms", reached, p99 <= 250 and missing == 0)


async def _register_instances(environment: Environment, first: int) -> dict[str, float]:
    connection, started_at = await connect(environment.http_port), {}
    for number in range(first, first + _CHANGES):
        started_at[f"told-{number}"] = time.monotonic()
        await connection.send(registration_request("told-agent", f"told-{number}"))
        await asyncio.sleep(_INTERVAL)
    return started_at


def _latencies(started_at: dict[str, float], seen: list[Any]) -> list[float]:
    warm = next(iter(started_at))
    return [at - started_at[name] for name, at in seen if name in started_at and name != warm]


async def _over_sse(environment: Environment) -> Row:
    seen: list[tuple[str, float]] = []
    readers = [asyncio.create_task(_read(environment.http_port, seen)) for _ in range(SUBSCRIBERS)]
    await asyncio.sleep(5)
    before = environment.cpu_time()
    started_at = await _register_instances(environment, 0)
    await asyncio.sleep(2)
    cost = environment.cpu_time().describe_since(before, _CHANGES)
    for reader in readers:
        reader.cancel()
    for outcome in await asyncio.gather(*readers, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
    return _row("Server-Sent Events", _latencies(started_at, seen), cost)


async def _read(port: int, seen: list[tuple[str, float]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(build_request("GET", "/agents/watch"))
    left = b""
    try:
        while data := await reader.read(65536):
            now = time.monotonic()
            left += data
            whole, mark, left = left.rpartition(b"\r\n")
            seen += [(name.decode(), now) for name in _EVENT_ID.findall(whole + mark)]
    finally:
        writer.close()
    raise RuntimeError("a stream of changes ended")


async def measure_deaths(environment: Environment) -> list[Row]:
    http, closing, open_still = await asyncio.gather(
        _silent_http_instance(environment), _clean_close(environment), _half_open(environment)
    )
    noticed, gone = open_still
    return [
        Row("silent HTTP instance out of routing", "17 s", f"{http:.1f} s", http <= 17),
        Row("clean close of a WebSocket out of routing", "1 s", f"{closing:.2f} s", closing <= 1),
        Row("half-open WebSocket noticed, after its last byte", "15 s", f"{noticed:.1f} s", noticed <= 15),
        Row("its instance out of routing", "", f"{gone:.1f} s"),
    ]


async def _silent_http_instance(environment: Environment) -> float:
    connection = await connect(environment.http_port)
    started = time.monotonic()
    await connection.send(registration_request("silent-agent", "silent"))
    return await _wait_until_gone(connection, "silent") - started


async def _clean_close(environment: Environment) -> float:
    socket = await open_registered_socket(environment.sockets_port, "closing")
    connection = await connect(environment.http_port)
    started = time.monotonic()
    socket.send_frame(8, (1000).to_bytes(2, "big"))
    return await _wait_until_gone(connection, "closing") - started


async def _half_open(environment: Environment) -> tuple[float, float]:
    """The client stops reading and writing, but keeps its connection open."""
    socket = await open_registered_socket(environment.sockets_port, "half-open")
    socket.is_silent = True
    started = time.monotonic()
    gone = await _wait_until_gone(await connect(environment.http_port), "half-open") - started
    closed_at = await _wait_for(lambda: socket.closed_at)
    return closed_at - started, gone


async def _wait_for(found: Callable[[], float | None]) -> float:
    async with asyncio.timeout(60):
        while (value := found()) is None:
            await asyncio.sleep(0.02)
    return value


async def _wait_until_gone(connection: Connection, instance_id: str) -> float:
    """Return the time when discovery no longer returned the instance."""
    data = build_request("GET", "/agents/instances?limit=100")
    async with asyncio.timeout(120):
        while True:
            status, body = await connection.send(data)
            if status == 200 and instance_id not in [each["instance_id"] for each in orjson.loads(body)["instances"]]:
                return time.monotonic()
            await asyncio.sleep(0.05)
