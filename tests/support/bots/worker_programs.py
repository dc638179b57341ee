"""Programs that work on jobs with one of the clients."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from deadlines import DEADLINE
from node import build_typescript_client, environment
from servers.live_server import until

from bots.server_jobs import ServerJob
from robyn_server.supervisor.parent_death import death_signal

FOLDER = Path(__file__).parent
CLIENTS = ("python", "typescript")


class WorkerProgram:
    """A process that serves jobs with one of the clients. `lines`: what it printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().strip())

    async def says(self, line: str) -> None:
        await until(lambda: line in self.lines)

    async def begins(self, job: ServerJob, attempt: int = 1) -> None:
        await self.says(f"begins {job.job_id} {attempt}")

    def signal(self, number: int) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE):
            await self._reading
            return await self.process.wait()

    async def release(self) -> None:
        self.signal(signal.SIGKILL)
        await self.process.wait()
        await self._reading


async def start_worker(client: str, agent_id: str, **options: Any) -> WorkerProgram:
    """Start a program with this client, and wait until it is registered."""
    program = [sys.executable, str(FOLDER / "program_worker.py")]
    if client == "typescript":
        program = [await asyncio.to_thread(build_typescript_client), str(FOLDER / "program_worker.mjs")]
    process = await asyncio.create_subprocess_exec(
        *program,
        agent_id,
        json.dumps(options),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=death_signal(signal.SIGKILL),
    )
    worker = WorkerProgram(process)
    await until(lambda: worker.lines)
    assert worker.lines[0].startswith("registered"), worker.lines
    return worker
