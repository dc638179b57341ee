"""How a worker starts the processes of runs.

On Linux they are forks of a process that has imported LangGraph, which takes tenths of a second. Elsewhere they are
programs, which takes seconds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from uuid import UUID

from robyn_server.supervisor.forks.client import CAN_FORK, ForkServer
from robyn_server.worker.processes.run_processes import Spawned, process_environment

_ARGUMENTS = ("worker",)
_MODULES = (
    "robyn_server.graphs.checkpoints.saver",  # first: it says how LangGraph reads checkpoints
    "robyn_server.app.worker",
    "robyn_server.worker.run_executor",
    "httpcore",
    "langchain.agents",
    "langchain.chat_models",
    "prometheus_client",
)


class RunProcessStarter:
    """`environment`: of this worker."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._forks = ForkServer(_MODULES)

    def start(self) -> None:
        """Prepare for the first process. Raises OSError."""
        if CAN_FORK:
            self._forks.start()

    async def stop(self) -> None:
        await self._forks.stop()

    async def spawn(self, worker_id: UUID, place: int, stays: bool) -> Spawned:
        """Start a worker of this installation (`process_environment`). Raises OSError."""

        def environment(parent: int) -> dict[str, str]:
            return process_environment(self._environment, worker_id, place, stays=stays, parent=parent)

        if CAN_FORK:
            return await self._forks.fork(_ARGUMENTS, environment)
        command = (sys.executable, "-m", "robyn_server", *_ARGUMENTS)
        return await asyncio.create_subprocess_exec(
            *command, env=environment(os.getpid()), stdin=asyncio.subprocess.DEVNULL
        )
