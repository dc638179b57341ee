"""Ten thousand live WebSockets, and a thousand that watch: clients in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import orjson

from .registry_client import Job
from .registry_place import Place, child_environment
from .registry_rows import Row, percentiles

PROCESSES = 2
_LONGEST_LINE = 64 * 1024 * 1024


class Clients:
    """`ask` sends each process a line and gives what each answers."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self.opening: list[dict[str, Any]] = []

    async def answers(self) -> list[dict[str, Any]]:
        return await asyncio.gather(*map(_line, self._processes))

    async def ask(self, what: str) -> list[dict[str, Any]]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{what}\n".encode())
        return await self.answers()


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a client process died; what it said is above")
    found: dict[str, Any] = orjson.loads(line)
    return found


@contextlib.asynccontextmanager
async def clients(port: int, *jobs: Job) -> AsyncIterator[Clients]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.registry_client", str(port), orjson.dumps(asdict(job)).decode()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            env=child_environment(),
        )
        for job in jobs
    ]
    try:
        found = Clients(processes)
        found.opening = await found.answers()
        yield found
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                if process.stdin is not None:
                    process.stdin.close()
                async with asyncio.timeout(60):
                    await process.wait()


async def live(place: Place, instances: int, seconds: float) -> list[Row]:
    """Each beats every ten seconds, whatever it is told, so that ten thousand are 1,000 beats/s."""
    empty = place.sockets_memory()
    jobs = [Job(instances // PROCESSES, f"ws{number}") for number in range(PROCESSES)]
    async with clients(place.sockets_port, *jobs) as dialled:
        opened = sum(each["open"] for each in dialled.opening)
        took = max(each["seconds"] for each in dialled.opening)
        before = place.cpu()
        answers = await dialled.ask(f"beat {max(seconds, 20)}")
        times = [one for each in answers for one in each["times"]]
        lost = [one for each in answers for one in each["lost"]]
        cost = place.cpu().since(before, len(times))
        alive = await _alive(place)
        pss, rss = place.sockets_memory()
    p50, p99 = percentiles(times)
    rate = len(times) / max(seconds, 20)
    acks = f"{rate:,.0f} beats/s, ack p50 {p50:.1f} ms, p99 {p99:.1f} ms; {alive:,} alive, {len(lost)} lost {sorted(set(lost))[:3] if lost else ''}; {cost}"
    memory = f"PSS {pss:.0f} MB, RSS {rss:.0f} MB (before: {empty[0]:.0f}, {empty[1]:.0f})"
    return [
        Row(f"{opened:,} WebSockets opened and registered", "", f"{opened / took:,.0f}/s"),
        Row(
            f"{opened:,} live WebSockets, each beating every 10 s",
            "p99 ack 100 ms",
            acks,
            p99 <= 100 and alive == opened,
        ),
        Row("memory of the sockets process then", "at most 300 MB", memory, rss <= 300),
    ]


async def _alive(place: Place) -> int:
    query = """
        select count(*) from mcp.agent_registrations r where r.agent_id = 'socket-agent' and r.registration_status = 'active'"""
    return int(await place.database.fetchval(query))
