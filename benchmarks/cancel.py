"""`python -m benchmarks.cancel [--runs N] [--together N] [--webs N] [--workers N]`: how long a cancellation takes on
several replicas.

Runs that wait are started, and cancelled one by one over connections of their own, which the system spreads over the
web processes.

  answered    from sending the request to its answer.

  committed   to the end of the run in the database, on its clock.

  joined      to the answer of a `join` that another connection had opened before.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from databases import fresh_database, make_template, postgres_server
from rich.console import Console
from rich.table import Table
from servers.live_server import LiveServer, live_server, until

_INPUT = {"until": 2, "delay": 600}


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Milliseconds."""

    answered: float
    committed: float
    joined: float


async def measure(server: LiveServer, runs: int, together: int) -> tuple[list[Cancellation], list[Cancellation]]:
    """Cancel `runs` runs one after the other, while `together` of them are running.

    Returns the first `together` apart.
    """
    connection = await asyncpg.connect(server.database)
    first: list[Cancellation] = []
    results: list[Cancellation] = []
    try:
        await _cancel_all(server, connection, await _start(server, connection, together), first)
        while len(results) < runs:
            await _cancel_all(server, connection, await _start(server, connection, together), results)
    finally:
        await connection.close()
    return first, results[:runs]


async def _start(server: LiveServer, connection: Any, count: int) -> list[tuple[str, str]]:
    """Start runs that wait. Returns their paths and ids when all of them are running."""
    async with server.http() as http:
        started = []
        for _ in range(count):
            thread = (await http.post("/threads", json={})).json()["thread_id"]
            run = await http.post(f"/threads/{thread}/runs", json={"assistant_id": "counter", "input": _INPUT})
            started.append((f"/threads/{thread}/runs/{run.json()['run_id']}", run.json()["run_id"]))

    async def all_run() -> bool:
        running = "select count(*) from agenthall.runs where status = 'running'"
        return bool(await connection.fetchval(running) == count)

    await until(all_run)
    await asyncio.sleep(0.2)  # the first step of each begins
    return started


async def _cancel_all(
    server: LiveServer, connection: Any, runs: Sequence[tuple[str, str]], results: list[Cancellation]
) -> None:
    for path, run_id in runs:
        async with server.http() as joining, server.http() as cancelling:
            await cancelling.get("/livez")  # connects
            join = asyncio.create_task(joining.get(f"{path}/join"))
            await asyncio.sleep(0.05)
            sent_at, sent = time.time(), time.perf_counter()
            answer = await cancelling.post(f"{path}/cancel")
            answered = time.perf_counter() - sent
            assert answer.status_code == 202, answer.text
            await join
            joined = time.perf_counter() - sent
        row = await connection.fetchrow("select status, updated_at from agenthall.runs where run_id = $1", run_id)
        assert row["status"] == "interrupted"
        committed = row["updated_at"].timestamp() - sent_at
        results.append(Cancellation(answered * 1000, committed * 1000, joined * 1000))


def table(title: str, results: Sequence[Cancellation]) -> Table:
    shown = Table("ms", "p50", "p95", "p99", "largest", title=f"{title} {len(results)} cancellations")
    for name in ("answered", "committed", "joined"):
        times = sorted(getattr(each, name) for each in results)
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        shown.add_row(name, *(f"{value:.1f}" for value in (cuts[49], cuts[94], cuts[98], times[-1])))
    return shown


async def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.cancel", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--together", type=int, default=10, help="runs that are running at a time")
    parser.add_argument("--webs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with postgres_server() as postgres:
        template = await make_template(postgres)
        async with (
            fresh_database(postgres, template) as url,
            live_server(url, webs=options.webs, workers=options.workers) as server,
        ):
            first, later = await measure(server, options.runs, options.together)
            console = Console()
            console.print(table("the first", first))
            console.print(table("the next", later))


if __name__ == "__main__":
    asyncio.run(main())
