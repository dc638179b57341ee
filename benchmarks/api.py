"""`python -m benchmarks.api [--url NAME=URL …]`: measure the LangGraph API of one or more servers in one sitting.

Each server has to serve a trivial graph under the id that `--graph` names. Without `--url`, this server is started with
the graph `echo`. The rounds alternate between the servers, and the best of `--rounds` counts.

  closed loop   16 clients, or 1; each sends its next request when it has its answer.

  open loop     requests are sent at a fixed rate, and times count from when each was due.

  CPU, memory   of the process trees of `--pid NAME=PID`: CPU of a thousand stateless runs, and PSS afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import psutil
from databases import fresh_database, make_template, postgres_server
from rich.console import Console
from rich.table import Table
from servers.live_server import live_server

from .http_load import Connection, Measurement, Timing, build_request, closed_loop, open_loop

CLIENTS = 16


@dataclass(frozen=True)
class Target:
    """A server under test. `pids`: the roots of its process trees."""

    name: str
    url: str
    pids: tuple[int, ...] = ()

    def connections(self, count: int) -> list[Connection]:
        parts = urlsplit(self.url)
        return [Connection(parts.hostname or "127.0.0.1", parts.port or 80) for _ in range(count)]


@dataclass(frozen=True)
class Row:
    """A result. `unit` is that of `value`, of which more is better for rates and less for times."""

    operation: str
    unit: str
    value: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Api:
    """The requests of one server."""

    def __init__(self, target: Target, graph: str, seconds: float) -> None:
        self.target = target
        self._graph = graph
        self._seconds = seconds
        self._http = httpx.AsyncClient(base_url=target.url, timeout=60)

    async def prepare(self) -> None:
        found = await self._post("/assistants/search", {"graph_id": self._graph, "limit": 1})
        if not found:
            raise SystemExit(f"{self.target.name} serves no graph '{self._graph}'")
        self._assistant = found[0]["assistant_id"]
        self._threads = [(await self._post("/threads", {}))["thread_id"] for _ in range(CLIENTS)]
        for _ in range(3):  # imports and connections
            await self._post("/runs/wait", self._run())
        await self._http.aclose()

    async def _post(self, path: str, body: Any) -> Any:
        answer = await self._http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def _run(self, **more: Any) -> dict[str, Any]:
        return {"assistant_id": self._assistant, "input": {"text": "hello"}, **more}

    def operations(self) -> dict[str, Callable[[], Awaitable[Row]]]:
        get = build_request("GET", f"/assistants/{self._assistant}")
        wait = _post("/runs/wait", self._run())
        stream = _post("/runs/stream", self._run(stream_mode="values"))
        on_thread = [_post(f"/threads/{each}/runs/wait", self._run(durability="async")) for each in self._threads]
        return {
            "GET assistant": lambda: self._rate("GET assistant", lambda _: get),
            "POST /assistants": lambda: self._rate("POST /assistants", lambda _: self._new_assistant()),
            "POST /threads": lambda: self._rate("POST /threads", lambda _: _post("/threads", {})),
            "stateless runs.wait": lambda: self._rate("stateless runs.wait", lambda _: wait),
            "stateless runs.wait, 1 client": lambda: self._time("stateless runs.wait, 1 client", wait, 1, _end),
            "runs.wait on threads": lambda: self._rate("runs.wait on threads", on_thread.__getitem__),
            "first event, 1 client": lambda: self._time("first event, 1 client", stream, 1, _first),
            "end of stream, 1 client": lambda: self._time("end of stream, 1 client", stream, 1, _end),
            "first event, 16 clients": lambda: self._time("first event, 16 clients", stream, CLIENTS, _first),
            "open loop, 50 runs/s": lambda: self._open("open loop, 50 runs/s", wait, 50),
        }

    def _new_assistant(self) -> bytes:
        # some servers refuse a second assistant of the same graph and config
        config = {"configurable": {"n": str(uuid.uuid4())}}
        return _post("/assistants", {"graph_id": self._graph, "config": config})

    async def _rate(self, name: str, request: Callable[[int], bytes]) -> Row:
        timings = await closed_loop(self.target.connections(CLIENTS), request, self._seconds)
        measured = Measurement.of([each.end for each in timings], CLIENTS, self._seconds)
        return _row(name, "/s", measured.per_second, measured)

    async def _time(self, name: str, request: bytes, clients: int, of: Callable[[Timing], float]) -> Row:
        timings = await closed_loop(self.target.connections(clients), lambda _: request, self._seconds)
        measured = Measurement.of([of(each) for each in timings], clients, self._seconds)
        return _row(name, "ms", measured.p50_ms, measured)

    async def _open(self, name: str, request: bytes, rate: float) -> Row:
        idle = self.target.connections(CLIENTS)

        async def send() -> None:
            connection = idle.pop() if idle else self.target.connections(1)[0]
            await connection.send(request)
            idle.append(connection)

        measured = Measurement.of(await open_loop(send, rate, self._seconds), CLIENTS, self._seconds)
        for each in idle:
            each.close()
        return _row(name, "ms", measured.p50_ms, measured)

    async def cost(self) -> Row | None:
        """CPU of the server's processes for a thousand stateless runs; `p50_ms` and so on are zero, `value` is in
        seconds."""
        if not self.target.pids:
            return None
        request, before = _post("/runs/wait", self._run()), _cpu(self.target.pids)
        connections = self.target.connections(CLIENTS)

        async def client(connection: Connection) -> None:
            for _ in range(1000 // CLIENTS):
                await connection.send(request)
            connection.close()

        await asyncio.gather(*map(client, connections))
        spent = (_cpu(self.target.pids) - before) / (1000 // CLIENTS * CLIENTS) * 1000
        return Row("CPU of 1,000 stateless runs", "s", spent, 0, 0, 0)

    def memory(self) -> Row | None:
        if not self.target.pids:
            return None
        megabytes = sum(each.memory_full_info().pss for each in _tree(self.target.pids)) / 1e6
        return Row("memory (PSS) afterwards", "MB", megabytes, 0, 0, 0)


def _post(path: str, body: Any) -> bytes:
    return build_request("POST", path, orjson.dumps(body))


def _first(timing: Timing) -> float:
    return timing.first


def _end(timing: Timing) -> float:
    return timing.end


def _row(operation: str, unit: str, value: float, measured: Measurement) -> Row:
    return Row(operation, unit, value, measured.p50_ms, measured.p95_ms, measured.p99_ms)


def _tree(pids: tuple[int, ...]) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in pids]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def _cpu(pids: tuple[int, ...]) -> float:
    return sum(times.user + times.system for each in _tree(pids) for times in [each.cpu_times()])


async def measure(targets: list[Target], graph: str, seconds: float, rounds: int) -> dict[str, list[Row]]:
    """Return the best row of each operation, by server."""
    apis = [Api(target, graph, seconds) for target in targets]
    for api in apis:
        await api.prepare()
    results: dict[str, list[Row]] = {target.name: [] for target in targets}
    for operation in apis[0].operations():
        found: dict[str, list[Row]] = {target.name: [] for target in targets}
        for _ in range(rounds):
            for api in apis:
                found[api.target.name].append(await api.operations()[operation]())
        for name, rows in found.items():
            results[name].append((max if rows[0].unit == "/s" else min)(rows, key=lambda row: row.value))
    for api in apis:
        results[api.target.name] += [row for row in (await api.cost(), api.memory()) if row is not None]
    return results


@asynccontextmanager
async def own_server() -> AsyncIterator[Target]:
    with postgres_server() as postgres:
        template = await make_template(postgres)
        async with (
            fresh_database(postgres, template) as url,
            live_server(url, AGENTHALL_LOG_LEVEL="WARNING", AGENTHALL_WEB_CPU="0") as server,
        ):
            pids = tuple(each.popen.pid for each in (*server.webs, *server.workers))
            yield Target("agenthall", server.url, pids)


def table(results: dict[str, list[Row]]) -> Table:
    """A column for each server; with several, each beside its ratio to the first."""
    names = list(results)
    shown = Table("operation", *names)
    for rows in zip(*results.values(), strict=False):
        base = rows[0].value
        cells = [_cell(row) + (f"  {_ratio(row, base):.2f}x" if row is not rows[0] else "") for row in rows]
        shown.add_row(rows[0].operation, *cells)
    return shown


def _cell(row: Row) -> str:
    spread = f"  p50 {row.p50_ms:.1f}  p95 {row.p95_ms:.1f}  p99 {row.p99_ms:.1f} ms" if row.p50_ms else ""
    return f"{row.value:,.1f} {row.unit}{spread}"


def _ratio(row: Row, base: float) -> float:
    return row.value / base if base else statistics.nan


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.api", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--pid", action="append", default=[], metavar="NAME=PID")
    parser.add_argument("--graph", default="echo")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pids = [each.split("=", 1) for each in options.pid]
    targets = [
        Target(name, url.rstrip("/"), tuple(int(pid) for owner, pid in pids if owner == name))
        for name, url in (each.split("=", 1) for each in options.url)
    ]
    async with AsyncExitStack() as closing:
        if not targets:
            targets.append(await closing.enter_async_context(own_server()))
        results = await measure(targets, options.graph, options.seconds, options.rounds)
    if options.json:
        print(json.dumps({name: [asdict(row) for row in rows] for name, rows in results.items()}))
    else:
        Console(width=200).print(table(results))


if __name__ == "__main__":
    asyncio.run(main())
