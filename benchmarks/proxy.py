"""`python -m benchmarks.proxy [--rounds N] [--seconds N] [--json]`: compare a web process alone and behind the proxy.

The rounds alternate between the two, and the median of the rounds counts. Ratios are the proxy's result by the one
without it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import orjson
import psutil
from databases import fresh_database, make_template, postgres_server
from rich.console import Console
from rich.table import Table
from servers.caddy_proxy import caddy_proxy
from servers.live_server import live_server
from users.demo_users import HARBOUR, SECRET, bearer

from .http_load import Connection, Measurement, closed_loop

CLIENTS = 16
_STREAM = b'{"assistant_id":"echo","input":{"text":"hello"},"stream_mode":"values"}'

Measure = Callable[[int, float], Coroutine[Any, Any, dict[str, float]]]
"""Takes a port and seconds. Returns results by their unit: of `/s` more is better, of `ms` less."""


def _request(method: str, path: str, body: bytes = b"", *, chunked: bool = False) -> bytes:
    authorization = bearer("ada", HARBOUR)["authorization"]
    length = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n{length}\r\n\r\n"
    return head.encode() + (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


def _repeated(request: bytes, clients: int) -> Measure:
    async def measure(port: int, seconds: float) -> dict[str, float]:
        timings = await closed_loop([Connection("127.0.0.1", port) for _ in range(clients)], lambda _: request, seconds)
        found = Measurement.of([each.end for each in timings], clients, seconds)
        return {"/s": found.per_second, "ms": found.p50_ms}

    return measure


async def _first_event(port: int, seconds: float) -> dict[str, float]:
    request = _request("POST", "/runs/stream", _STREAM)
    timings = await closed_loop([Connection("127.0.0.1", port)], lambda _: request, seconds)
    return {"ms": median(each.first for each in timings) * 1e3}


WORK: dict[str, Measure] = {
    f"GET /info, {CLIENTS} clients": _repeated(_request("GET", "/info"), CLIENTS),
    "GET /info, 1 client": _repeated(_request("GET", "/info"), 1),
    f"POST /threads, {CLIENTS} clients": _repeated(_request("POST", "/threads", b"{}"), CLIENTS),
    "POST /threads, 1 client": _repeated(_request("POST", "/threads", b"{}"), 1),
    "POST /threads, chunked, 1 client": _repeated(_request("POST", "/threads", b"{}", chunked=True), 1),
    "first event of a run's stream, 1 client": _first_event,
}


@asynccontextmanager
async def _ports() -> AsyncIterator[tuple[dict[str, int], psutil.Process]]:
    """The ports of the web process and of Caddy in front of it, and Caddy's process."""
    with postgres_server() as postgres:
        template = await make_template(postgres)
        async with (
            fresh_database(postgres, template) as url,
            live_server(url, AUTH_MODE="jwt", AUTH_JWT_SECRET=SECRET) as server,
            caddy_proxy(server.port, server.port) as caddy,
        ):
            yield {"alone": server.port, "proxied": caddy.port}, psutil.Process(caddy.process.pid)


async def measure_all(rounds: int, seconds: float) -> dict[str, Any]:
    results: dict[str, dict[str, dict[str, float]]] = {}
    before = os.getloadavg()[0]
    async with _ports() as (ports, caddy):
        for work, measure in WORK.items():
            found: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
            for _ in range(rounds):
                for name, port in ports.items():
                    found[name].append(await measure(port, seconds))
            results[work] = {
                name: {unit: median(each[unit] for each in several) for unit in several[0]}
                for name, several in found.items()
            }
        memory = caddy.memory_info().rss
    return {"results": results, "caddy_rss_mb": memory / 1e6, "load": [before, os.getloadavg()[0]]}


def _table(measured: dict[str, Any]) -> Table:
    load = " to ".join(f"{each:.1f}" for each in measured["load"])
    table = Table(title=f"load {load}, {os.cpu_count()} cores; Caddy {measured['caddy_rss_mb']:.0f} MB")
    for column in ("work", "alone", "behind the proxy", "ratio"):
        table.add_column(column)
    for work, found in measured["results"].items():
        for unit, alone in found["alone"].items():
            proxied = found["proxied"][unit]
            table.add_row(f"{work}", f"{alone:,.1f} {unit}", f"{proxied:,.1f} {unit}", f"{proxied / alone:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.proxy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measured = asyncio.run(measure_all(arguments.rounds, arguments.seconds))
    if arguments.json:
        print(orjson.dumps(measured).decode())
    else:
        Console().print(_table(measured))


if __name__ == "__main__":
    main()
