"""`python -m benchmarks.jobs [--only NAME …] [--sockets N]`: measure jobs beside the targets of their design.

Everything runs on this machine: PostgreSQL with durable commits, the server's processes, the bots, and the callers.
Ratios compare with the same work done by a worker, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles
from typing import Any, TypeAlias

import asyncpg
from langgraph_sdk import get_client

from .bots import TOKENS_PER_SECOND, TOKENS_SECONDS
from .deployment import Deployment, deployment, ready

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
_ACCEPTED = """
select extract(epoch from j.accepted_at - r.created_at) * 1000 as milliseconds
  from mcp.agent_jobs j join agenthall.runs r on r.run_id = j.run_id where j.agent_id = $1 order by 1"""
_SHARES = """
select o.instance_id, count(*) as jobs from mcp.agent_job_offers o join mcp.agent_jobs j on j.id = o.job_id
 where j.agent_id = $1 and o.accepted_at is not null group by o.instance_id order by 1"""
Connection: TypeAlias = "asyncpg.Connection[Any]"


async def dispatch(server: Deployment, database: Connection, sockets: int) -> str:
    """From the commit of the run until the instance has accepted, one at a time."""
    client = get_client(url=server.url, api_key=None)
    with server.bots("idle", "idle-bot", sockets), server.bots("echo", "dispatch-bot", 1, 4):
        await ready(database, "dispatch-bot", 4)
        await _registered(database, "idle-bot", sockets)
        for _ in range(300):
            thread = await client.threads.create()
            await client.runs.wait(thread["thread_id"], "dispatch-bot", input=HELLO)
    found = [float(row[0]) for row in await database.fetch(_ACCEPTED, "dispatch-bot")]
    return f"p50 {_part(found, 50):.1f} ms, p99 {_part(found, 99):.1f} ms, with {sockets} other sockets"


async def rate(server: Deployment, database: Connection, _sockets: int) -> str:
    """Stateless runs.wait on an echo bot, and on the same echo as a graph; 16 clients, in turn."""
    with server.bots("echo", "rate-bot", 2, 16):
        await ready(database, "rate-bot", 32)
        found: dict[str, list[float]] = {"echo": [], "rate-bot": []}
        for _ in range(3):
            for name, rates in found.items():
                rates.append(await _rate_of(server, name, seconds=5))
    here, there = max(found["echo"]), max(found["rate-bot"])
    return f"{there:.0f}/s of {here:.0f}/s: {there / here:.0%}"


async def _rate_of(server: Deployment, name: str, *, seconds: float) -> float:
    client, until, done = get_client(url=server.url, api_key=None), time.monotonic() + seconds, 0

    async def call() -> None:
        nonlocal done
        while time.monotonic() < until:
            await client.runs.wait(None, name, input=HELLO)
            done += 1

    await asyncio.gather(*(call() for _ in range(16)))
    return done / seconds


async def tokens(server: Deployment, database: Connection, _sockets: int) -> str:
    """A hundred jobs, each with 50 tokens a second; from the instance to the caller, while all of them run."""
    client, count = get_client(url=server.url, api_key=None), 100

    async def follow() -> list[tuple[float, float]]:
        """When each token was sent, and when it arrived."""
        times = list[tuple[float, float]]()
        async for part in client.runs.stream(None, "token-bot", input=HELLO, stream_mode="messages-tuple"):
            if part.event == "messages":
                now = time.time()
                times.extend((float(text), now) for text in part.data[0]["content"].split())
        return times

    with server.bots("tokens", "token-bot", 10, 10):
        await ready(database, "token-bot", count)
        runs = await asyncio.gather(*(follow() for _ in range(count)))
    first, last = max(run[0][0] for run in runs), min(run[-1][0] for run in runs)
    every = [each for run in runs for each in run]
    arrived = sum(first <= arrival < last for _, arrival in every)
    delays = sorted(1000 * (arrival - sent) for sent, arrival in every if first <= sent < last)
    wanted = count * TOKENS_PER_SECOND * TOKENS_SECONDS
    return (
        f"{len(every)} of {wanted} tokens; {arrived / (last - first):.0f}/s in the {last - first:.1f} s in which all ran, "
        f"p50 {_part(delays, 50):.0f} ms, p99 {_part(delays, 99):.0f} ms"
    )


async def burst(server: Deployment, database: Connection, _sockets: int) -> str:
    """A thousand jobs at once for ten instances with a hundred slots each."""
    client = get_client(url=server.url, api_key=None)
    with server.bots("hold", "burst-bot", 10, 100):
        await ready(database, "burst-bot", 1000)
        began = time.monotonic()
        batch: list[Any] = [{"assistant_id": "burst-bot", "input": HELLO}] * 100
        await asyncio.gather(*(client.runs.create_batch(batch) for _ in range(10)))
        created = time.monotonic() - began
        query = "select count(*) from mcp.agent_jobs where agent_id = 'burst-bot' and accepted_at is not null"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while await database.fetchval(query) < 1000:
                    await asyncio.sleep(0.05)
    accepted = await database.fetchval(query)
    twice = await database.fetchval(
        """select count(*) from (select o.job_id from mcp.agent_job_offers o join mcp.agent_jobs j on j.id = o.job_id
            where j.agent_id = 'burst-bot' and o.accepted_at is not null group by o.job_id having count(*) > 1) t"""
    )
    waits = [
        float(row[0])
        for row in await database.fetch(
            """select extract(epoch from j.accepted_at - j.created_at) * 1000 from mcp.agent_jobs j
                where j.agent_id = 'burst-bot' and j.accepted_at is not null order by 1"""
        )
    ]
    return f"{accepted} accepted, {twice} twice, p99 {_part(waits, 99) / 1000:.2f} s; requested in {created:.1f} s"


async def killed(server: Deployment, database: Connection, _sockets: int) -> str:
    """From the death of an instance until another one has accepted its job."""
    client = get_client(url=server.url, api_key=None)
    took = list[float]()
    for number in range(3):
        agent_id = f"killed-bot-{number}"
        with server.bots("hold", agent_id) as victim:
            await ready(database, agent_id, 1)
            await client.runs.create(None, agent_id, input=HELLO)
            await _accepted_by(database, agent_id, "hold-0")
            with server.bots("hold", agent_id, first=1):
                await ready(database, agent_id, 2)
                victim.kill()
                began = time.monotonic()
                await _accepted_by(database, agent_id, "hold-1")
                took.append(time.monotonic() - began)
    return ", ".join(f"{each:.1f} s" for each in took)


async def shares(server: Deployment, database: Connection, _sockets: int) -> str:
    """The distribution of jobs that use half of the slots: among ten equal instances, and with slots 1 : 2 : 4."""
    client = get_client(url=server.url, api_key=None)

    async def call(agent_id: str, jobs: int, together: int) -> list[int]:
        free = asyncio.Semaphore(together)

        async def one() -> None:
            async with free:
                await client.runs.wait(None, agent_id, input=HELLO)

        await asyncio.gather(*(one() for _ in range(jobs)))
        return [row["jobs"] for row in await database.fetch(_SHARES, agent_id)]

    with server.bots("slow", "equal-bot", 10, 4):
        await ready(database, "equal-bot", 40)
        equal = await call("equal-bot", 2000, 20)
    with contextlib.ExitStack() as stack:
        for number, slots in enumerate((4, 8, 16)):
            stack.enter_context(server.bots("slow", "sized-bot", 1, slots, first=number))
        await ready(database, "sized-bot", 28)
        sized = await call("sized-bot", 1400, 14)
    total = sum(sized)
    parts = " : ".join(f"{7 * each / total:.2f}" for each in sized)
    return f"equal: max/min {max(equal) / min(equal):.2f}; slots 1:2:4: {parts}"


async def _accepted_by(database: Connection, agent_id: str, instance_id: str) -> None:
    query = "select count(*) from mcp.agent_jobs where agent_id = $1 and instance_id = $2 and state = 'running'"
    async with asyncio.timeout(90):
        while not await database.fetchval(query, agent_id, instance_id):
            await asyncio.sleep(0.02)


async def _registered(database: Connection, agent_id: str, count: int) -> None:
    query = "select count(*) from mcp.agent_instances where agent_id = $1 and registration_status = 'active'"
    async with asyncio.timeout(120):
        while await database.fetchval(query, agent_id) < count:
            await asyncio.sleep(0.2)


def _part(sorted_values: list[float], percent: int) -> float:
    return quantiles(sorted_values, n=100, method="inclusive")[percent - 1]


Measure = Callable[[Deployment, Connection, int], Awaitable[str]]
MEASURES: dict[str, tuple[str, Measure]] = {
    "dispatch": ("p50 10 ms, p99 50 ms", dispatch),
    "rate": ("at least 60 %", rate),
    "tokens": ("5,000/s, p99 150 ms", tokens),
    "burst": ("1,000 accepted, none twice, p99 5 s", burst),
    "killed": ("4 s", killed),
    "shares": ("max/min 1.2; 1 : 2 : 4", shares),
}


async def run(names: list[str], sockets: int) -> None:
    async with deployment() as server:
        database = await asyncpg.connect(server.dsn)
        for name in names:
            target, measure = MEASURES[name]
            print(f"{name:10} target {target:38} {await measure(server, database, sockets)}", flush=True)
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.jobs", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--sockets", type=int, default=1000, help="idle sockets that are open during `dispatch`")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.only, arguments.sockets))


main()
