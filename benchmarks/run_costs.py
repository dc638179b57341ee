"""`python -m benchmarks.run_costs [--seconds N] [--json]`: where the time of a run goes.

16 clients repeat one request. Two tables follow, for each kind of request:

  processor   milliseconds of each process for one request, from the scheduler. Other work on the machine does not add
              to them.

  statements  calls and milliseconds of PostgreSQL for one request, from pg_stat_statements. A statement inside a
              function is part of the function's time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import orjson
import psutil
from databases import fresh_database, make_template, private_postgres
from rich.console import Console
from rich.table import Table
from servers.live_server import LiveServer, live_server

from robyn_server.storage.postgres.queries import load, nouns

from .http_load import Connection, build_request, closed_loop

CLIENTS = 16
SHOWN = 12
_PRELOADED = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}
_STATEMENTS = """
select calls, total_exec_time + total_plan_time as ms, toplevel, query from pg_stat_statements
 where query not like '%pg_stat_statements%'
"""


@dataclass(frozen=True)
class Statement:
    """`calls` and `ms`: for one request. `is_inner`: a function ran it, in whose time it is included."""

    name: str
    calls: float
    ms: float
    is_inner: bool


@dataclass(frozen=True)
class Costs:
    """`processor`: milliseconds of each process for one request."""

    request: str
    per_second: float
    processor: dict[str, float]
    statements: list[Statement] = field(default_factory=list)


def _processor_ms(pids: Iterable[int]) -> float:
    """Milliseconds that all threads of the processes have run. One that has ended counts no more."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except OSError:
                continue
    return total / 1e6


class Processes:
    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._database = urlsplit(server.database).path.strip("/")

    def now(self) -> dict[str, float]:
        return {
            "web": _processor_ms(each.popen.pid for each in self._server.webs),
            "worker": _processor_ms(each.popen.pid for each in self._server.workers),
            "postgres": _processor_ms(self._backends()),
            "client": _processor_ms([os.getpid()]),
        }

    def _backends(self) -> Iterable[int]:
        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "postgres" and self._database in " ".join(process.info["cmdline"] or ()):
                yield process.pid


def _normalized(sql: str) -> str:
    """A statement without comments, constants and parameters, which pg_stat_statements replaces."""
    text = re.sub(r"--[^\n]*", " ", sql)
    text = re.sub(r"\$\d+|'(?:[^']|'')*'|\b\d+\b", "?", text)
    return " ".join(text.split()).lower()


class StatementNames:
    """The names of statements: that of the query in `storage/sql/`, else their beginning."""

    def __init__(self) -> None:
        self._names = {
            _normalized(query.sql): f"{noun}.{name}" for noun in nouns() for name, query in load(noun).items()
        }

    def of(self, sql: str) -> str:
        text = _normalized(sql)
        return self._names.get(text, text[:60])


async def _measure(server: LiveServer, admin: asyncpg.Connection, name: str, request: bytes, seconds: float) -> Costs:
    port = urlsplit(server.url).port or 80
    connections = [Connection("127.0.0.1", port) for _ in range(CLIENTS)]
    await closed_loop(connections, lambda _: request, 1)  # plans, imports and connections
    await admin.execute("select pg_stat_statements_reset()")
    processes, names = Processes(server), StatementNames()
    before, began = processes.now(), time.perf_counter()
    count = len(await closed_loop(connections, lambda _: request, seconds))
    after, took = processes.now(), time.perf_counter() - began
    statements = _summed(await admin.fetch(_STATEMENTS), names, count)
    return Costs(name, count / took, {part: (after[part] - before[part]) / count for part in before}, statements)


def _summed(rows: Iterable[Mapping[str, Any]], names: StatementNames, count: int) -> list[Statement]:
    """One row for each name, the dearest first. PostgreSQL counts a statement again when its tables have changed."""
    found: dict[tuple[str, bool], tuple[float, float]] = {}
    for row in rows:
        key = names.of(row["query"]), not row["toplevel"]
        calls, ms = found.get(key, (0.0, 0.0))
        found[key] = calls + row["calls"] / count, ms + row["ms"] / count
    statements = [Statement(name, calls, ms, is_inner) for (name, is_inner), (calls, ms) in found.items()]
    return sorted(statements, key=lambda each: each.ms, reverse=True)[:SHOWN]


async def _requests(server: LiveServer) -> dict[str, bytes]:
    run: dict[str, Any] = {"assistant_id": "echo", "input": {"text": "hello"}}
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        assistant = (await http.post("/assistants", json={"graph_id": "echo"})).raise_for_status().json()
    return {
        "GET assistant": build_request("GET", f"/assistants/{assistant['assistant_id']}"),
        "POST /threads": build_request("POST", "/threads", b"{}"),
        "POST /assistants": build_request("POST", "/assistants", orjson.dumps({"graph_id": "echo"})),
        "stateless runs.wait": build_request("POST", "/runs/wait", orjson.dumps(run)),
        "stateless runs.stream": build_request("POST", "/runs/stream", orjson.dumps({**run, "stream_mode": "values"})),
    }


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[LiveServer, asyncpg.Connection]]:
    with private_postgres(max_connections="200", fsync="off", **_PRELOADED) as postgres:
        template = await make_template(postgres.dsn)
        async with (
            fresh_database(postgres.dsn, template) as url,
            live_server(url, AGENTHALL_LOG_LEVEL="WARNING") as server,
        ):
            admin = await asyncpg.connect(url)
            await admin.execute("create extension pg_stat_statements")
            try:
                yield server, admin
            finally:
                await admin.close()


async def measure(seconds: float) -> list[Costs]:
    async with _server() as (server, admin):
        requests = await _requests(server)
        return [await _measure(server, admin, name, request, seconds) for name, request in requests.items()]


def tables(found: list[Costs]) -> Iterable[Table]:
    parts = list(found[0].processor)
    processor = Table("request, 16 clients", "rate", *(f"{part}, ms" for part in parts), "together, ms")
    for each in found:
        times = [f"{each.processor[part]:.2f}" for part in parts]
        processor.add_row(each.request, f"{each.per_second:,.0f}/s", *times, f"{sum(each.processor.values()):.2f}")
    yield processor
    for each in found:
        statements = Table(each.request, "calls", "ms")
        for one in each.statements:
            statements.add_row(f"{'  ' * one.is_inner}{one.name}", f"{one.calls:.2f}", f"{one.ms:.3f}")
        yield statements


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.run_costs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.seconds))
    if options.json:
        print(json.dumps([asdict(each) for each in found]))
        return
    console = Console(width=140)
    for each in tables(found):
        console.print(each)


if __name__ == "__main__":
    main()
