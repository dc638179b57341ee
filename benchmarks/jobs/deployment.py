"""A server with its processes, started by `agenthall serve` on a separate database, and bots that dial in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
from databases import private_postgres
from servers.live_server import accepts, free_port, until

from robyn_server.supervisor.postgres.server import EmbeddedPostgres

ECHO = Path(__file__).with_name("echo_graph.py")


@dataclass(frozen=True, slots=True)
class Deployment:
    url: str
    postgres: EmbeddedPostgres
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def dsn(self) -> str:
        return self.postgres.dsn

    @contextlib.contextmanager
    def bots(
        self, kind: str, agent_id: str, count: int = 1, slots: int = 1, first: int = 0
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Bots in one process. It is killed when the block ends."""
        arguments = [kind, agent_id, self.url, str(count), str(slots), str(first)]
        command = [sys.executable, "-m", "benchmarks.jobs.bots", *arguments]
        with self.log.with_name(f"{agent_id}.log").open("ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def children(self, name: str) -> list[int]:
        """Process ids of the server's children of this name: web, worker, sockets."""
        command = ["ps", "--ppid", str(self.process.pid), "-o", "pid=,args="]
        found = subprocess.run(command, check=False, capture_output=True, text=True)  # 1: there is none now
        return [int(line.split()[0]) for line in found.stdout.splitlines() if line.rstrip().endswith(f" {name}")]


async def ready(connection: asyncpg.Connection[Any], agent_id: str, slots: int) -> None:
    """Wait until instances of the agent take so many jobs together."""
    query = """select coalesce(sum(s.slots), 0) from mcp.agent_slots s join mcp.agent_manifests m on m.id = s.manifest_id
                where m.agent_id = $1 and s.is_open"""

    async def are_open() -> bool:
        return bool(await connection.fetchval(query, agent_id) == slots)

    await until(are_open)


@contextlib.asynccontextmanager
async def deployment(**settings: str) -> AsyncIterator[Deployment]:
    """`settings`: further environment variables of the server. Commits are durable."""
    with private_postgres(max_connections="300") as postgres, tempfile.TemporaryDirectory() as directory:
        port, log = free_port(), Path(directory) / "server.log"
        graphs = {"agent": "tools_agent.agent:graph", "echo": f"{ECHO}:graph"}
        environment = {
            **os.environ,
            "DATABASE_URL": postgres.dsn,
            "AGENTHALL_DATA_DIR": directory,
            "AGENTHALL_GRAPHS": orjson.dumps(graphs).decode(),
            "AGENTHALL_SOCKETS_PORT": str(free_port()),
            "AGENTHALL_DEV_TENANT": "00000000-0000-0000-0000-000000000001",
            "AGENTHALL_SOCKETS_PER_PRINCIPAL": "20000",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **settings,
        }
        process = _start(port, environment, log)
        try:
            await until(lambda: process.poll() is not None or accepts(port))
            url = f"http://127.0.0.1:{port}"
            await until(lambda: _is_ready(url))
            yield Deployment(url, postgres, process, log)
        finally:
            if process.poll() is not None:
                print(f"the server ended with {process.returncode}:\n{log.read_text()[-4000:]}")
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)


def _start(port: int, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "robyn_server", "serve", "--port", str(port)]
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment)


async def _is_ready(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url) as http:
        with contextlib.suppress(httpx.HTTPError):
            return (await http.get("/ok")).status_code == httpx.codes.OK
    return False
