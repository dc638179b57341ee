"""`python -m benchmarks.event_transports`: streams of runs with their events in PostgreSQL and in Valkey, in one
sitting.

Two servers, each with a web and a worker, share one PostgreSQL with fsync on. One of them has REDIS_URL. The rounds
alternate between them; the median of the rounds counts, and the last column is Valkey relative to PostgreSQL.

  first event    from the request to the first event of the graph, which has gone through the transport

  gaps           between events at the client, while runs emit 20 a second each: an even pace has gaps of 50 ms

  events/s       of all clients together, when graphs emit as fast as they can

  CPU            of the processes for 1,000 events that clients got, in ms
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
from databases import fresh_database, make_template, private_postgres
from remote.valkey_server import valkey_server
from rich.console import Console
from rich.table import Table
from servers.live_server import LiveServer, live_server

_GRAPHS = json.dumps({"chatty": f"{Path(__file__).with_name('chatty_graph.py')}:chatty"})
_TEXT = "x" * 60
_KINDS = ("postgres", "web", "worker", "valkey")


@dataclass(frozen=True)
class Target:
    name: str
    server: LiveServer
    processes: dict[str, psutil.Process]

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time so far, of each kind of process and its children."""
        return {kind: sum(map(_seconds, _tree(process))) for kind, process in self.processes.items()}


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


async def _events(http: httpx.AsyncClient, path: str, body: dict[str, Any] | None) -> list[float]:
    """Read a stream to its end. Return the times of its custom events, in seconds of the monotonic clock."""
    method = "GET" if body is None else "POST"
    async with http.stream(method, path, json=body) as answer:
        answer.raise_for_status()
        return [time.perf_counter() async for line in answer.aiter_lines() if line.startswith("event: custom")]


def _body(events: int, pause: float = 0.0) -> dict[str, Any]:
    given = {"events": events, "pause": pause, "text": _TEXT}
    return {"assistant_id": "chatty", "input": given, "stream_mode": "custom", "stream_resumable": True}


async def first_event(target: Target, clients: int, runs: int) -> float:
    """Return the median time to the first event of a run with one event, in ms."""

    async def client(http: httpx.AsyncClient) -> list[float]:
        found = []
        for _ in range(runs):
            began = time.perf_counter()
            found.append((await _events(http, "/runs/stream", _body(1)))[0] - began)
        return found

    async with target.server.http() as http:
        found = await asyncio.gather(*(client(http) for _ in range(clients)))
    return 1000 * statistics.median(each for one in found for each in one)


async def spread(target: Target, runs: int, events: int) -> float:
    """Return the 95th percentile of the gaps between events that graphs emit every 50 ms, in ms."""
    async with target.server.http() as http:
        found = await asyncio.gather(*(_events(http, "/runs/stream", _body(events, 0.05)) for _ in range(runs)))
    gaps = [after - before for times in found for before, after in pairwise(times)]
    return 1000 * statistics.quantiles(gaps, n=20)[18]


async def throughput(target: Target, runs: int, readers: int, events: int) -> tuple[float, dict[str, float]]:
    """Return events a second that all readers of all runs got together, and the ms of CPU for 1,000 of them."""
    before, began = target.cpu(), time.perf_counter()
    async with target.server.http() as http:
        found = await asyncio.gather(*(_one_run(http, readers, events) for _ in range(runs)))
    seconds, after = time.perf_counter() - began, target.cpu()
    got = sum(found)
    return got / seconds, {kind: (after[kind] - before[kind]) * 1e6 / got for kind in after}


async def _one_run(http: httpx.AsyncClient, readers: int, events: int) -> int:
    """Run with several readers. Return how many events they got together."""
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    run = (await http.post(f"/threads/{thread}/runs", json=_body(events))).json()["run_id"]
    path = f"/threads/{thread}/runs/{run}/stream"
    headers = {"last-event-id": "-1"}
    async with httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=120) as own:
        return sum(map(len, await asyncio.gather(*(_events(own, path, None) for _ in range(readers)))))


@contextlib.asynccontextmanager
async def _targets() -> AsyncIterator[list[Target]]:
    with private_postgres(os.environ, max_connections="400") as postgres, valkey_server() as valkey:
        template = await make_template(postgres.dsn)
        async with contextlib.AsyncExitStack() as closing:
            targets = []
            for name, more in (("postgres", {}), ("valkey", {"REDIS_URL": valkey.url})):
                url = await closing.enter_async_context(fresh_database(postgres.dsn, template))
                settings = {"AGENTHALL_GRAPHS": _GRAPHS, "AGENTHALL_LOG_LEVEL": "WARNING", **more}
                server = await closing.enter_async_context(live_server(url, **settings))
                processes = {
                    "postgres": psutil.Process(_postmaster()),
                    "web": psutil.Process(server.webs[0].popen.pid),
                    "worker": psutil.Process(server.workers[0].popen.pid),
                    "valkey": psutil.Process(valkey.popen.pid),
                }
                targets.append(Target(name, server, processes))
            yield targets


def _postmaster() -> int:
    """The postmaster among the children of this process."""
    names = {each.pid: each.name() for each in psutil.Process().children(recursive=True)}
    found = [pid for pid, name in names.items() if name.startswith("postgres")]
    parents = {pid: psutil.Process(pid).ppid() for pid in found}
    return next(pid for pid in found if parents[pid] not in found)


async def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return what each round measured, by operation and server."""
    results: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with _targets() as targets:
        for target in targets:
            await first_event(target, 4, 5)  # imports and connections
        for _ in range(rounds):
            for target in targets:
                for operation, value in [each async for each in _round(target)]:
                    results[operation][target.name].append(value)
    return results


async def _round(target: Target) -> AsyncIterator[tuple[str, float]]:
    yield "first event, 1 client (ms)", await first_event(target, 1, 40)
    yield "first event, 16 clients (ms)", await first_event(target, 16, 8)
    yield "95th percentile of gaps at 20 events/s, 16 runs (ms)", await spread(target, 16, 60)
    for runs, readers, events in ((1, 1, 3000), (16, 1, 500), (4, 16, 500)):
        rate, cost = await throughput(target, runs, readers, events)
        what = f"{runs} runs with {readers} readers each"
        yield f"events/s, {what}", rate
        for kind in _KINDS:
            yield f"ms of CPU for 1,000 events, {what}: {kind}", cost[kind]
        yield f"ms of CPU for 1,000 events, {what}: all", sum(cost.values())


def _rows(results: dict[str, dict[str, list[float]]]) -> Iterator[tuple[str, float, float]]:
    for operation, by_name in results.items():
        yield operation, statistics.median(by_name["postgres"]), statistics.median(by_name["valkey"])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.event_transports", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = asyncio.run(measure(options.rounds))
    if options.json:
        print(json.dumps(results))
        return
    shown = Table("", "postgres", "valkey", "ratio")
    for operation, postgres, valkey in _rows(results):
        shown.add_row(operation, f"{postgres:,.1f}", f"{valkey:,.1f}", f"{valkey / postgres:.2f}" if postgres else "")
    Console(width=160).print(shown)


if __name__ == "__main__":
    main()
