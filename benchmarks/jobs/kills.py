"""`python -m benchmarks.jobs.kills [--jobs N] [--kills N] [--seed N] [--postgres]`: jobs under kill -9 of everything.

Runs of a bot are started in batches, while bots and the server's processes (web, worker, sockets) are killed at random
and come back. With `--postgres`, so is PostgreSQL. At the end the states of jobs and runs and their attempts are
printed. So are the numbers of jobs that were accepted twice in one attempt, of runs without a result, and of slots that
were not freed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
from databases import restart_postgres
from langgraph_sdk import get_client

from .deployment import Deployment, deployment, ready

AGENT = "killed-bot"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
BOTS, SLOTS = 4, 16
_BATCH = 50
VICTIMS = ["bot", "bot", "sockets", "worker", "web"]
_CHECKS = {
    "jobs": "select state, count(*) from mcp.agent_jobs group by state",
    "runs": "select status, count(*) from agenthall.runs group by status",
    "errors of runs": """
        select left(concat_ws(': ', r.error ->> 'error', r.error ->> 'message'), 200), count(*)
          from agenthall.runs r where r.error is not null group by 1""",
    "attempts of jobs": "select attempt, count(*) from mcp.agent_jobs group by attempt order by attempt",
    "attempts of runs": "select attempt, count(*) from agenthall.runs group by attempt order by attempt",
    "outcomes of offers": "select outcome, count(*) from mcp.agent_job_offers group by outcome order by 2 desc",
}
_NONE = {
    "accepted twice in one attempt": """
        select count(*) from (select from mcp.agent_job_offers where accepted_at is not null
          group by job_id, attempt having count(*) > 1) t""",
    "runs with several jobs": """
        select count(*) from (select from mcp.agent_jobs group by run_id having count(*) > 1) t""",
    "runs without a result": """
        select count(*) from agenthall.runs r where r.status <> 'success'""",
    "slots that are not freed": "select coalesce(sum(used), 0) from mcp.agent_slots",
}


class Bots:
    """Bots in processes of their own, which are started again when they are killed."""

    def __init__(self, server: Deployment) -> None:
        self._server = server
        self._stack: list[contextlib.ExitStack] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        for number in range(BOTS):
            self._stack.append(contextlib.ExitStack())
            self._processes.append(self._start(number))

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        return self._stack[number].enter_context(self._server.bots("slow", AGENT, 1, SLOTS, first=number))

    def kill(self, number: int) -> None:
        self._stack[number].close()
        self._processes[number] = self._start(number)

    def stop(self) -> None:
        for each in self._stack:
            each.close()


class Database:
    """The deployment's database, which may be killed: a query is repeated until there is an answer."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def count(self, query: str) -> int:
        return int((await self.fetch(query))[0][0])

    async def fetch(self, query: str) -> list[Any]:
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(self._dsn)
                try:
                    return list(await connection.fetch(query))
                finally:
                    connection.terminate()
            await asyncio.sleep(0.2)


async def create(server: Deployment, database: Database, jobs: int) -> None:
    """Start runs in batches. A batch whose answer is lost may exist; further ones make up for one that does not."""
    client = get_client(url=server.url, api_key=None)
    batch: list[Any] = [{"assistant_id": AGENT, "input": HELLO, "on_completion": "keep"}] * _BATCH
    while await database.count("select count(*) from agenthall.runs") < jobs:
        with contextlib.suppress(httpx.HTTPError):
            await client.runs.create_batch(batch)
        while await database.count("select count(*) from agenthall.runs where status = 'pending'") > 4 * _BATCH:
            await asyncio.sleep(0.05)


async def kill(
    server: Deployment, bots: Bots, victims: list[str], times: Iterator[float], chance: random.Random
) -> dict[str, int]:
    killed: dict[str, int] = {}
    for pause in times:
        await asyncio.sleep(pause)
        victim = chance.choice(victims)
        killed[victim] = killed.get(victim, 0) + 1
        if victim == "bot":
            await asyncio.to_thread(bots.kill, chance.randrange(BOTS))
        elif victim == "postgres":
            await restart_postgres(server.postgres, signal.SIGKILL)
        else:
            for pid in server.children(victim)[:1]:
                os.kill(pid, signal.SIGKILL)
    return killed


async def run(jobs: int, kills: int, seed: int, victims: list[str]) -> None:
    chance = random.Random(seed)
    async with deployment(AGENTHALL_RUN_LEASE="5", AGENTHALL_RUN_MAX_ATTEMPTS="50") as server:
        bots, database = Bots(server), Database(server.dsn)
        try:
            await _prepare(server)
            began = time.monotonic()
            pauses = (chance.uniform(1.0, 5.0) for _ in range(kills))
            creating = create(server, database, jobs)
            _, killed = await asyncio.gather(creating, kill(server, bots, victims, pauses, chance))
            while await database.count("select count(*) from agenthall.runs where status in ('pending', 'running')"):
                await asyncio.sleep(0.5)
            await asyncio.sleep(2)
            print(f"{jobs} jobs in {time.monotonic() - began:.0f} s; killed: {killed}; seed {seed}")
            await _report(database)
        finally:
            bots.stop()


async def _prepare(server: Deployment) -> None:
    """Wait for the bots, and allow retries."""
    connection = await asyncpg.connect(server.dsn)
    await ready(connection, AGENT, BOTS * SLOTS)
    options = '{"retry": "always", "max_attempts": 100, "schedule_to_start_seconds": null}'
    await connection.execute("update mcp.agent_configurations set jobs = $1", options)
    await connection.close()


async def _report(database: Database) -> None:
    for name, query in _CHECKS.items():
        print(f"{name}: {dict(await database.fetch(query))}")
    for name, query in _NONE.items():
        print(f"{name}: {await database.count(query)}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.jobs.kills", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="kill PostgreSQL, too, which belongs to the benchmark")
    arguments = parser.parse_args()
    victims = [*VICTIMS, "postgres"] if arguments.postgres else VICTIMS
    asyncio.run(run(arguments.jobs, arguments.kills, arguments.seed, victims))


if __name__ == "__main__":
    main()
