"""`python -m benchmarks.open_streams [--streams N] [--rate N] [--seconds N] [--webs N] [--workers N]`: the cost of open
streams.

Each run emits events at a fixed rate, and one client reads its stream. The processor time of the server's processes and
of PostgreSQL is taken while all streams are open. Other work on the machine does not add to it.

  cores   processor time of one second: 1.0 is one core in full use

  gaps    between the events of a stream, as its client sees them
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from databases import fresh_database, make_template, private_postgres
from rich.console import Console
from rich.table import Table
from servers.live_server import LiveServer, live_server

from .http_load import build_request
from .run_costs import Processes

TARGET_CORES = 1.0
_GRAPHS = json.dumps({"chatty": f"{Path(__file__).with_name('chatty_graph.py')}:chatty"})
_TEXT = "x" * 60
_OPENED_AT_ONCE = 20
_EVENT = b"event: custom"


@dataclass
class Reader:
    """The client of one stream. `times`: of its events, in seconds."""

    times: list[float] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, port: int, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        try:
            while data := await reader.read(65_536):
                self.times += [time.perf_counter()] * data.count(_EVENT)
                if self.times:
                    self.opened.set()
        finally:
            writer.close()

    def gaps(self, since: float, until: float) -> list[float]:
        within = [each for each in self.times if since <= each <= until]
        return [after - before for before, after in pairwise(within)]


@dataclass(frozen=True)
class Result:
    cores: dict[str, float]
    events_per_second: float
    gaps: list[float]


async def measure(server: LiveServer, streams: int, rate: float, seconds: float) -> Result:
    async with _open(server, streams, rate, seconds) as readers:
        processes = Processes(server)
        before, began = processes.now(), time.perf_counter()
        await asyncio.sleep(seconds)
        after, ended = processes.now(), time.perf_counter()
    took = ended - began
    got = sum(began <= each <= ended for reader in readers for each in reader.times)
    cores = {part: (after[part] - before[part]) / took / 1000 for part in before}
    return Result(cores, got / took, [gap for reader in readers for gap in reader.gaps(began, ended)])


@asynccontextmanager
async def _open(server: LiveServer, streams: int, rate: float, seconds: float) -> AsyncIterator[list[Reader]]:
    """Open the streams, some at a time. Their runs emit events until the block ends."""
    events = int(rate * (seconds + 600))
    given = {"events": events, "pause": 1 / rate, "text": _TEXT}
    body = orjson.dumps({"assistant_id": "chatty", "input": given, "stream_mode": "custom", "on_disconnect": "cancel"})
    request, readers = build_request("POST", "/runs/stream", body), [Reader() for _ in range(streams)]
    tasks: list[asyncio.Task[Any]] = []
    try:
        for at in range(0, streams, _OPENED_AT_ONCE):
            some = readers[at : at + _OPENED_AT_ONCE]
            tasks += [asyncio.create_task(each.read(server.port, request)) for each in some]
            async with asyncio.timeout(60):
                await asyncio.gather(*(each.opened.wait() for each in some))
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def table(result: Result, streams: int, rate: float) -> Table:
    shown = Table("", "target", "measured", title=f"{streams} open streams with {rate:g} events/s each")
    ours = {part: cores for part, cores in result.cores.items() if part != "client"}
    shown.add_row("processor time, cores", f"less than {TARGET_CORES}", f"{sum(ours.values()):.2f}")
    for part, cores in result.cores.items():
        shown.add_row(f"  {part}", "", f"{cores:.2f}")
    shown.add_row("events/s", f"{streams * rate:,.0f}", f"{result.events_per_second:,.0f}")
    cuts = statistics.quantiles(result.gaps, n=100, method="inclusive")
    shown.add_row("gaps between events, p50 and p99", f"{1000 / rate:.0f} ms", f"{cuts[49]:.3f} s, {cuts[98]:.3f} s")
    return shown


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.open_streams", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--webs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    settings = {
        "AGENTHALL_GRAPHS": _GRAPHS,
        "AGENTHALL_LOG_LEVEL": "WARNING",
        "AGENTHALL_WORKER_SLOTS": str(options.streams),
        "AGENTHALL_MAX_STREAMS": str(options.streams + 10),
        "AGENTHALL_STREAMS_PER_PRINCIPAL": str(options.streams + 10),
    }
    with private_postgres(max_connections="200") as postgres:
        template = await make_template(postgres.dsn)
        async with (
            fresh_database(postgres.dsn, template) as url,
            live_server(url, webs=options.webs, workers=options.workers, **settings) as server,
        ):
            result = await measure(server, options.streams, options.rate, options.seconds)
    Console().print(table(result, options.streams, options.rate))


if __name__ == "__main__":
    asyncio.run(main())
