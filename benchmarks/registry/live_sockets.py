"""Measure thousands of live WebSockets, with the clients in separate processes."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import orjson

from .environment import Environment, child_environment
from .report import Row, percentiles
from .socket_client import Job

PROCESSES = 2
_MAX_LINE_BYTES = 64 * 1024 * 1024


class ClientProcesses:
    """The processes of `socket_client.py`. `opening`: their first lines."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self.opening: list[dict[str, Any]] = []

    async def read_lines(self) -> list[dict[str, Any]]:
        return await asyncio.gather(*map(_line, self._processes))

    async def send_command(self, what: str) -> list[dict[str, Any]]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{what}\n".encode())
        return await self.read_lines()


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a client process died; its output is above")
    found: dict[str, Any] = orjson.loads(line)
    return found


@contextlib.asynccontextmanager
async def start_clients(port: int, *jobs: Job) -> AsyncIterator[ClientProcesses]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.registry.socket_client", str(port), orjson.dumps(asdict(job)).decode()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            env=child_environment(),
        )
        for job in jobs
    ]
    try:
        found = ClientProcesses(processes)
        found.opening = await found.read_lines()
        yield found
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                if process.stdin is not None:
                    process.stdin.close()
                async with asyncio.timeout(60):
                    await process.wait()


async def measure_live_sockets(environment: Environment, instances: int, seconds: float) -> list[Row]:
    """Each sends a heartbeat every ten seconds, whatever the server sets, so ten thousand send 1,000 per second."""
    empty = environment.sockets_memory()
    jobs = [Job(instances // PROCESSES, f"ws{number}") for number in range(PROCESSES)]
    async with start_clients(environment.sockets_port, *jobs) as client_processes:
        opened = sum(each["open"] for each in client_processes.opening)
        took = max(each["seconds"] for each in client_processes.opening)
        before = environment.cpu_time()
        answers = await client_processes.send_command(f"beat {max(seconds, 20)}")
        times = [one for each in answers for one in each["times"]]
        lost = [one for each in answers for one in each["lost"]]
        cost = environment.cpu_time().describe_since(before, len(times))
        alive = await _alive(environment)
        pss, rss = environment.sockets_memory()
    p50, p99 = percentiles(times)
    rate = len(times) / max(seconds, 20)
    acks = f"{rate:,.0f} heartbeats/s, ack p50 {p50:.1f} ms, p99 {p99:.1f} ms; {alive:,} alive, {len(lost)} lost {sorted(set(lost))[:3] if lost else ''}; {cost}"
    memory = f"PSS {pss:.0f} MB, RSS {rss:.0f} MB (before: {empty[0]:.0f}, {empty[1]:.0f})"
    return [
        Row(f"{opened:,} WebSockets opened and registered", "", f"{opened / took:,.0f}/s"),
        Row(
            f"{opened:,} live WebSockets, each with a heartbeat every 10 s",
            "p99 ack 100 ms",
            acks,
            p99 <= 100 and alive == opened,
        ),
        Row("memory of the sockets process then", "at most 300 MB", memory, rss <= 300),
    ]


async def _alive(environment: Environment) -> int:
    query = """
        select count(*) from mcp.agent_registrations r where r.agent_id = 'socket-agent' and r.registration_status = 'active'"""
    return int(await environment.database.fetchval(query))
