"""`python -m benchmarks.joins [--runs N] [--delay S]`: from a run's end to the answer of a join on another replica.

Two web processes have a port each. A run is started on one of them, and joined on the other. The end is the time that
the database writes with it, on the clock of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import Any

import asyncpg
import httpx
from databases import fresh_database, make_template, postgres_server
from rich.console import Console
from rich.table import Table
from servers.live_server import LiveServer, Process, free_port, live_server, until

TARGET_MS = 5.0
_WARM_UP = 10


async def measure(server: LiveServer, replica: str, runs: int, delay: float) -> list[float]:
    """Milliseconds of each join."""
    connection = await asyncpg.connect(server.database)
    try:
        async with server.http() as starting, httpx.AsyncClient(base_url=replica, timeout=60) as joining:
            found = [await _join_one(starting, joining, connection, delay) for _ in range(_WARM_UP + runs)]
        return found[_WARM_UP:]
    finally:
        await connection.close()


async def _join_one(starting: httpx.AsyncClient, joining: httpx.AsyncClient, connection: Any, delay: float) -> float:
    thread = (await starting.post("/threads", json={})).json()["thread_id"]
    body = {"assistant_id": "counter", "input": {"until": 1, "delay": delay}}
    run_id = (await starting.post(f"/threads/{thread}/runs", json=body)).json()["run_id"]
    answer = await joining.get(f"/threads/{thread}/runs/{run_id}/join")
    answered = time.time()
    assert answer.json()["count"] == 1, answer.text
    row = await connection.fetchrow("select created_at, updated_at from agenthall.runs where run_id = $1", run_id)
    assert (row["updated_at"] - row["created_at"]).total_seconds() >= delay, "the join waited"
    return 1000 * (answered - row["updated_at"].timestamp())


async def _add_replica(server: LiveServer) -> str:
    """Start a web process on a port of its own, and return its URL."""
    port = free_port()
    environment = {**server.environment, "AGENTHALL_PORT": str(port), "AGENTHALL_SHARE_PORT": "0"}
    log = server.webs[0].log.with_name("replica.log")
    server.webs.append(Process("web", environment, log))
    await until(lambda: "web.serving" in log.read_text(errors="replace"))
    return f"http://127.0.0.1:{port}"


def table(times: list[float]) -> Table:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    shown = Table("from the end of a run to the answer of", "target", "p50", "p95", "p99", title=f"{len(times)} runs")
    values = (f"{cuts[49]:.1f} ms", f"{cuts[94]:.1f} ms", f"{cuts[98]:.1f} ms")
    shown.add_row("a join on another replica", f"{TARGET_MS:g} ms", *values)
    return shown


async def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.joins", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--delay", type=float, default=0.3, help="seconds that a run takes")
    options = parser.parse_args()
    with postgres_server() as postgres:
        template = await make_template(postgres)
        async with fresh_database(postgres, template) as url, live_server(url) as server:
            times = await measure(server, await _add_replica(server), options.runs, options.delay)
    Console().print(table(times))


if __name__ == "__main__":
    asyncio.run(main())
