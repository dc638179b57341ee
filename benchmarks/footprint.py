"""`python -m benchmarks.footprint [--runs N] [--starts N] [--json]`: the time that processes take to start, the memory
of idle ones, and its growth with runs.

  starts   from the command to the first answer of `GET /ok`, and to the end of the first run of a worker.

  idle     PSS of `agenthall serve` and its children, without PostgreSQL and without the demo.

  growth   PSS of a web process and a worker after each tenth of the runs, which are stateless.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass

import httpx
import orjson
import psutil
from databases import fresh_database, make_template, postgres_server
from served.sample_graphs import __file__ as samples
from servers.live_server import OURS, LiveServer, Process, free_port, live_server, until

from .http_load import Connection, build_request

CLIENTS = 16
PARTS = 10
WAIT = build_request("POST", "/runs/wait", orjson.dumps({"assistant_id": "echo", "input": {"text": "hello"}}))
GRAPHS = orjson.dumps({"echo": f"{samples}:echo"}).decode()


@dataclass(frozen=True)
class Footprint:
    """Medians of the starts in seconds, memory in megabytes. `grown`: after each tenth of `runs`."""

    web_start: float
    worker_start: float
    idle: dict[str, float]
    runs: int
    grown: list[float]


async def measure_all(runs: int, starts: int) -> Footprint:
    with postgres_server() as postgres:
        template = await make_template(postgres)
        async with fresh_database(postgres, template) as url:
            idle = await _idle(url)
        async with (
            fresh_database(postgres, template) as url,
            live_server(url, AGENTHALL_GRAPHS=GRAPHS, AGENTHALL_LOG_LEVEL="WARNING") as server,
        ):
            times = [(await _start_web(server), await _start_worker(server)) for _ in range(starts)]
            grown = [size async for size in _sizes(server, runs)]
    webs, workers = zip(*times, strict=True)
    return Footprint(statistics.median(webs), statistics.median(workers), idle, runs, grown)


async def _idle(url: str) -> dict[str, float]:
    """Megabytes of each child of `agenthall serve`, by its command, and of itself."""
    port = free_port()
    with _serving(url, port) as parent:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await until(lambda: _is_ok(http))
        connection = Connection("127.0.0.1", port)
        await connection.send(WAIT)  # the worker has started, and has imported all that runs need
        connection.close()
        found = {"serve": parent} | {_command(each): each for each in parent.children(recursive=True)}
        return {name: each.memory_full_info().pss / 1e6 for name, each in found.items()}


@contextlib.contextmanager
def _serving(url: str, port: int) -> Iterator[psutil.Process]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment |= {"DATABASE_URL": url, "AGENTHALL_GRAPHS": GRAPHS}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "robyn_server", "serve", "--port", str(port), "--data-dir", folder]
        process = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def _command(process: psutil.Process) -> str:
    """`web`, `worker` or `sockets`; of another program, its own name."""
    line = process.cmdline()
    return line[line.index("robyn_server") + 1] if "robyn_server" in line else process.name()


async def _is_ok(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/ok")).status_code == 200
    except httpx.TransportError:
        return False


async def _start_web(server: LiveServer) -> float:
    began = await _start(server.webs[0])
    async with server.http() as http:
        await until(lambda: _is_ok(http))
    return time.perf_counter() - began


async def _start_worker(server: LiveServer) -> float:
    began = await _start(server.workers[0])
    connection = Connection("127.0.0.1", server.port)
    await connection.send(WAIT)
    connection.close()
    return time.perf_counter() - began


async def _start(process: Process) -> float:
    """Start a process again. Return the time of the start."""
    process.kill()
    await process.ended()
    began = time.perf_counter()
    process.start()
    return began


async def _sizes(server: LiveServer, runs: int) -> AsyncIterator[float]:
    for _ in range(PARTS):
        await asyncio.gather(*(_run(server.port, runs // PARTS // CLIENTS) for _ in range(CLIENTS)))
        yield sum(psutil.Process(each.popen.pid).memory_full_info().pss for each in server.processes) / 1e6


async def _run(port: int, count: int) -> None:
    connection = Connection("127.0.0.1", port)
    for _ in range(count):
        await connection.send(WAIT)
    connection.close()


def table(found: Footprint) -> str:
    idle = ", ".join(f"{name} {size:.0f}" for name, size in found.idle.items())
    return "\n".join(
        [
            f"web process ready after {found.web_start:.2f} s, first run of a worker after {found.worker_start:.2f} s",
            f"idle: {sum(found.idle.values()):.0f} MB PSS ({idle})",
            f"web and worker after each tenth of {found.runs} runs: " + " ".join(f"{each:.0f}" for each in found.grown),
            f"the last is {found.grown[-1] / found.grown[0]:.2f} times the first",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.footprint", description=__doc__)
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = asyncio.run(measure_all(options.runs, options.starts))
    print(orjson.dumps(asdict(found)).decode() if options.json else table(found))


if __name__ == "__main__":
    main()
