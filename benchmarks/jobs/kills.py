"""`python -m benchmarks.jobs.kills [--jobs N] [--kills N] [--seed N]`: jobs under kill -9 of everything.

Runs of a bot are started in batches, while bots and the server's processes (web, worker, sockets) are killed at random
and come back. At the end the states of jobs and runs and their attempts are printed. So are the numbers of jobs that
were accepted twice in one attempt, of runs without a result, and of slots that were not freed.
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
from langgraph_sdk import get_client

from .deployment import Deployment, deployment, ready

AGENT = "killed-bot"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
BOTS, SLOTS = 4, 16
_BATCH = 50
_CHECKS = {
    "jobs": "select state, count(*) from mcp.agent_jobs group by state",
    "runs": "select status, count(*) from agenthall.runs group by status",
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


async def create(server: Deployment, jobs: int) -> None:
    """Start runs in batches. A batch whose answer is lost may exist; further ones make up for one that does not."""
    database = await asyncpg.connect(server.dsn)
    client = get_client(url=server.url, api_key=None)
    batch: list[Any] = [{"assistant_id": AGENT, "input": HELLO, "on_completion": "keep"}] * _BATCH
    while await database.fetchval("select count(*) from agenthall.runs") < jobs:
        with contextlib.suppress(httpx.HTTPError):
            await client.runs.create_batch(batch)
        while await database.fetchval("select count(*) from agenthall.runs where status = 'pending'") > 4 * _BATCH:
            await asyncio.sleep(0.05)
    await database.close()


async def kill(server: Deployment, bots: Bots, times: Iterator[float], chance: random.Random) -> dict[str, int]:
    killed: dict[str, int] = {}
    for pause in times:
        await asyncio.sleep(pause)
        victim = chance.choice(["bot", "bot", "sockets", "worker", "web"])
        killed[victim] = killed.get(victim, 0) + 1
        if victim == "bot":
            await asyncio.to_thread(bots.kill, chance.randrange(BOTS))
        else:
            for pid in server.children(victim)[:1]:
                os.kill(pid, signal.SIGKILL)
    return killed


async def run(jobs: int, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    async with deployment(AGENTHALL_RUN_LEASE="5", AGENTHALL_RUN_MAX_ATTEMPTS="50") as server:
        database = await asyncpg.connect(server.dsn)
        bots = Bots(server)
        try:
            await ready(database, AGENT, BOTS * SLOTS)
            options = '{"retry": "always", "max_attempts": 100, "schedule_to_start_seconds": null}'
            await database.execute("update mcp.agent_configurations set jobs = $1", options)
            began = time.monotonic()
            pauses = (chance.uniform(1.0, 5.0) for _ in range(kills))
            _, killed = await asyncio.gather(create(server, jobs), kill(server, bots, pauses, chance))
            while await database.fetchval("select count(*) from agenthall.runs where status in ('pending', 'running')"):
                await asyncio.sleep(0.5)
            await asyncio.sleep(2)
            print(f"{jobs} jobs in {time.monotonic() - began:.0f} s; killed: {killed}; seed {seed}")
            for name, query in _CHECKS.items():
                print(f"{name}: {dict(await database.fetch(query))}")
            for name, query in _NONE.items():
                print(f"{name}: {await database.fetchval(query)}")
        finally:
            bots.stop()
            await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.jobs.kills", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.jobs, arguments.kills, arguments.seed))


if __name__ == "__main__":
    main()
