"""`python -m benchmarks.kills [--runs N] [--kills N] [--workers N] [--webs N] [--seed N]`: what becomes of runs under
kill -9.

Runs are started and their streams followed while processes are killed at random and started again. Each step of a run
writes to a ledger. At the end all of this is checked, and printed:

  ended         each run succeeded, with exactly one end and the right result.

  side effects  each step was done; one was repeated only where an attempt was lost; no two attempts worked at the same
                time.

  streams       each client got the events of its run in order, without a gap and without one twice, across its
                reconnections.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
from databases import fresh_database, make_template, postgres_server
from servers.live_server import LiveServer, live_server

from .ledger_graph import VARIABLE
from .resuming_client import Followed, ResumingClient

GRAPH = Path(__file__).with_name("ledger_graph.py")
STEPS = 5
TOGETHER = 48
SETTINGS = {
    "AGENTHALL_GRAPHS": orjson.dumps({"ledger": f"{GRAPH}:graph"}).decode(),
    "AGENTHALL_RUN_LEASE": "5",
    "AGENTHALL_RUN_MAX_ATTEMPTS": "20",
    "AGENTHALL_EVENT_TTL": "7200",
    "AGENTHALL_WORKER_SLOTS": "16",
}


@dataclass(frozen=True, slots=True)
class Line:
    run_id: str
    attempt: int
    step: int
    what: str
    pid: int
    at: int


async def run_all(server: LiveServer, runs: int, kills: int, chance: random.Random) -> list[Followed]:
    body = {"assistant_id": "ledger", "input": {"steps": STEPS, "delay": 0.05}, "durability": "sync"}
    followed: list[Followed] = []
    free = asyncio.Semaphore(TOGETHER)

    async def one(http: httpx.AsyncClient) -> None:
        async with free:
            followed.append(await ResumingClient(http, body).follow())

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as http, asyncio.TaskGroup() as tasks:
        tasks.create_task(_kill(server, runs, kills, chance, followed))
        for _ in range(runs):
            tasks.create_task(one(http))
    return followed


async def _kill(server: LiveServer, runs: int, kills: int, chance: random.Random, followed: list[Followed]) -> None:
    moments = sorted(chance.sample(range(runs // 20, runs - runs // 10), kills))
    for moment in moments:
        while len(followed) < moment:
            await asyncio.sleep(0.05)
        victim = chance.choice(server.processes)
        victim.kill()
        await victim.ended()
        print(f"killed {victim.log.stem} (pid {victim.popen.pid}) after {len(followed)} runs")
        victim.start()


async def check(url: str, ledger: Path, followed: Sequence[Followed]) -> list[str]:
    """Print what was found. Returns what is wrong."""
    connection = await asyncpg.connect(url)
    try:
        wrong = await _check_ends(connection, followed)
    finally:
        await connection.close()
    return wrong + _check_ledger(ledger, followed) + _check_streams(followed)


async def _check_ends(connection: Any, followed: Sequence[Followed]) -> list[str]:
    rows = await connection.fetch(
        """select r.run_id::text, r.status, r.attempt, t."values" ->> 'done' as done, t.status as thread_status,
                  (select count(*) from agenthall.run_events e where e.run_id = r.run_id and e.event = '__end__') as ends
             from agenthall.runs r join agenthall.threads t using (thread_id)"""
    )
    print("runs:", len(rows), dict(Counter(row["status"] for row in rows)))
    print("attempts:", dict(sorted(Counter(row["attempt"] for row in rows).items())))
    print("ends of each run:", dict(Counter(row["ends"] for row in rows)))
    result = orjson.dumps(list(range(1, STEPS + 1))).decode()
    right = sum((row["done"] or "").replace(" ", "") == result for row in rows)
    print("right results:", right)
    found = {row["run_id"] for row in rows}
    checks = {
        "a run is missing or double": found == {each.run_id for each in followed} and len(rows) == len(followed),
        "a run did not succeed": all(row["status"] == "success" for row in rows),
        "a run has not exactly one end": all(row["ends"] == 1 for row in rows),
        "a result is wrong": right == len(rows),
        "a thread is not idle": all(row["thread_status"] == "idle" for row in rows),
    }
    return [name for name, holds in checks.items() if not holds]


def _read(ledger: Path) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = defaultdict(list)
    for text in ledger.read_text().splitlines():
        run_id, attempt, step, what, pid, at = text.split()
        lines[run_id].append(Line(run_id, int(attempt), int(step), what, int(pid), int(at)))
    return lines


def _check_ledger(ledger: Path, followed: Sequence[Followed]) -> list[str]:
    by_run = _read(ledger)
    done, repeated, finished_twice, side_by_side, unexplained = 0, 0, 0, 0, 0
    for lines in by_run.values():
        ends = Counter(line.step for line in lines if line.what == "ends")
        done += set(ends) == set(range(1, STEPS + 1))
        attempts = {line.attempt for line in lines}
        again = sum(count - 1 for count in ends.values())
        repeated += again
        unexplained += again > len(attempts) - 1
        finished_twice += ends[STEPS] > 1
        spans = [[line.at for line in lines if line.attempt == attempt] for attempt in sorted(attempts)]
        side_by_side += any(max(one) > min(two) for one, two in itertools.pairwise(spans))
    print("runs with all side effects:", done)
    print("steps that were done again after a kill:", repeated, "of", len(by_run) * STEPS)
    print("runs whose last step was done again, its worker killed before the end was stored:", finished_twice)
    print("runs with two attempts at the same time:", side_by_side)
    checks = {
        "a side effect is missing": done == len(followed),
        "a step was repeated without a lost attempt": unexplained == 0,
        "two attempts worked at the same time": side_by_side == 0,
    }
    return [name for name, holds in checks.items() if not holds]


def _check_streams(followed: Sequence[Followed]) -> list[str]:
    gaps = doubles = disorder = 0
    for each in followed:
        places = [int(event_id.partition("-")[2]) for event_id in each.ids]
        doubles += len(each.ids) != len(set(each.ids))
        gaps += sorted(set(places)) != list(range(len(set(places))))
        disorder += places != sorted(places)
    print("streams:", len(followed), "events:", sum(len(each.ids) for each in followed))
    print("reconnections:", sum(each.reconnects for each in followed))
    print("streams with a gap, an event twice, a wrong order:", gaps, doubles, disorder)
    return ["a stream is not whole"] if gaps or doubles or disorder else []


async def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.kills", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--webs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with postgres_server() as postgres, tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        os.environ[VARIABLE] = str(ledger)
        template = await make_template(postgres)
        async with (
            fresh_database(postgres, template) as url,
            live_server(url, webs=options.webs, workers=options.workers, **SETTINGS) as server,
        ):
            began = time.monotonic()
            followed = await run_all(server, options.runs, options.kills, random.Random(options.seed))
            print(f"{options.runs} runs on {options.workers} workers in {time.monotonic() - began:.0f} s")
            wrong = await check(url, ledger, followed)
    print("wrong:", "; ".join(wrong) if wrong else "nothing")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
