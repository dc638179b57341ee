"""`python -m benchmarks.sizing [--rate N] [--seconds N]`: requests a second for one core, as LangSmith's sizing counts.

LangSmith's page about the scale of its Agent Server gives the machines for so many writes and as many reads a second,
with assistants that take a second. A write starts a run on a thread of its own; a read is the state of a thread or a
run. Both are sent at fixed times. The processor time is that of web, worker and PostgreSQL.

Its numbers are of machines that are provided, and ours of processor time that is used. So the ratio says how much room
there is, and not which server is faster.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from databases import fresh_database, make_template, private_postgres
from rich.console import Console
from rich.table import Table
from servers.live_server import LiveServer, live_server

from .http_load import Connection, Measurement, build_request, open_loop
from .run_costs import Processes

_GRAPHS = json.dumps({"chatty": f"{Path(__file__).with_name('chatty_graph.py')}:chatty"})
_RUN = {"assistant_id": "chatty", "input": {"events": 1, "pause": 1.0, "text": "x"}}
_THEIRS = {"50 + 50 requests/s": (100, 3 + 5 + 4), "500 + 500 requests/s": (1_000, 15 + 10 + 8)}
"""Requests a second, and processors of API servers, queue servers and PostgreSQL."""


@dataclass(frozen=True)
class Result:
    rate: float
    cores: dict[str, float]
    writes: Measurement
    reads: Measurement


class Load:
    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []
        self._read: list[bytes] = []
        self._number = itertools.count()

    async def prepare(self, server: LiveServer) -> None:
        """Make threads whose runs have ended, for reads."""
        async with server.http() as http:
            for _ in range(20):
                thread = (await http.post("/threads", json={})).json()["thread_id"]
                run = (await http.post(f"/threads/{thread}/runs", json=_RUN)).json()["run_id"]
                self._read.append(build_request("GET", f"/threads/{thread}/state"))
                self._read.append(build_request("GET", f"/threads/{thread}/runs/{run}"))
            (await http.get(f"/threads/{thread}/runs/{run}/join")).raise_for_status()

    async def write(self) -> None:
        created = build_request("POST", "/runs", orjson.dumps({**_RUN, "on_completion": "keep"}))
        await self._send(created)

    async def read(self) -> None:
        await self._send(self._read[next(self._number) % len(self._read)])

    async def _send(self, request: bytes) -> None:
        connection = self._idle.pop() if self._idle else Connection("127.0.0.1", self._port)
        await connection.send(request)
        self._idle.append(connection)

    def close(self) -> None:
        for each in self._idle:
            each.close()


async def measure(server: LiveServer, rate: float, seconds: float) -> Result:
    load, processes = Load(server.port), Processes(server)
    await load.prepare(server)
    await asyncio.gather(open_loop(load.write, rate, 3), open_loop(load.read, rate, 3))  # plans and connections
    before, began = processes.now(), time.perf_counter()
    writes, reads = await asyncio.gather(open_loop(load.write, rate, seconds), open_loop(load.read, rate, seconds))
    after, took = processes.now(), time.perf_counter() - began
    load.close()
    cores = {part: (after[part] - before[part]) / took / 1000 for part in before}
    sent = (len(writes) + len(reads)) / took
    return Result(sent, cores, Measurement.of(writes, 1, seconds), Measurement.of(reads, 1, seconds))


def table(result: Result) -> Table:
    shown = Table("", "requests/s", "cores", "requests/s for a core")
    ours = {part: cores for part, cores in result.cores.items() if part != "client"}
    for name, (rate, cores) in _THEIRS.items():
        shown.add_row(f"LangSmith, machines for {name}", f"{rate:,}", str(cores), f"{rate / cores:.1f}")
    total = sum(ours.values())
    parts = ", ".join(f"{part} {cores:.2f}" for part, cores in ours.items())
    shown.add_row(
        "Agenthall, processor time used", f"{result.rate:.0f}", f"{total:.2f} ({parts})", f"{result.rate / total:.0f}"
    )
    for name, each in (("writes", result.writes), ("reads", result.reads)):
        shown.add_row(f"  {name}: p50 {each.p50_ms:.1f} ms, p99 {each.p99_ms:.1f} ms", "", "", "")
    return shown


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.sizing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=50, help="writes a second, and reads")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    settings: dict[str, Any] = {
        "AGENTHALL_GRAPHS": _GRAPHS,
        "AGENTHALL_LOG_LEVEL": "WARNING",
        "AGENTHALL_WORKER_SLOTS": str(min(1000, int(4 * options.rate))),
    }
    with private_postgres(max_connections="200") as postgres:
        template = await make_template(postgres.dsn)
        async with fresh_database(postgres.dsn, template) as url, live_server(url, **settings) as server:
            result = await measure(server, options.rate, options.seconds)
    Console(width=140).print(table(result))


if __name__ == "__main__":
    asyncio.run(main())
