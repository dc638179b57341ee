"""A whole server as users run it: web and worker processes on a database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
from deadlines import DEADLINE
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from robyn_server.supervisor.parent_death import death_signal
from servers.forked_process import start_agenthall

SAMPLES = Path(__file__).parents[1] / "served" / "sample_graphs.py"
GRAPHS = {
    "agent": "tools_agent.agent:graph",
    **{name: f"{SAMPLES}:{name}" for name in ("echo", "counter", "approval", "failing", "context")},
}


async def until(condition: Callable[[], Any | Awaitable[Any]], seconds: float = DEADLINE) -> Any:
    """Wait for the first true value of `condition`, which may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            await asyncio.sleep(0.02)


class Process:
    """A child process that ends with the test process. Its output goes to a file."""

    def __init__(
        self, command: str, environment: dict[str, str], log: Path, program: tuple[str, ...] | None = None
    ) -> None:
        """`program`: arguments of Python in the place of `-m robyn_server`."""
        self.log = log
        self._command = command
        self._program = program
        self._environment = environment
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            if self._program is None:
                self.popen = start_agenthall(self._command, env=self._environment, stdout=out, stderr=out)
            else:
                self.popen = subprocess.Popen(
                    [sys.executable, *self._program, self._command],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  only a system call
                )

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")

    async def ended(self) -> int:
        await until(lambda: self.popen.poll() is not None)
        return self.popen.returncode

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(number)


class LiveServer:
    def __init__(
        self,
        url: str,
        port: int,
        environment: dict[str, str],
        folder: Path,
        program: tuple[str, ...] | None = None,
    ) -> None:
        self._program = program
        self.database = url
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.environment = environment
        self._folder = folder
        self.webs: list[Process] = []
        self.workers: list[Process] = []

    def add_web(self) -> Process:
        log = self._folder / f"web{len(self.webs)}.log"
        self.webs.append(Process("web", self.environment, log, self._program))
        return self.webs[-1]

    def add_worker(self) -> Process:
        self.workers.append(Process("worker", self.environment, self._folder / f"worker{len(self.workers)}.log"))
        return self.workers[-1]

    @property
    def processes(self) -> list[Process]:
        return [*self.webs, *self.workers]

    async def ready(self) -> None:
        async with httpx.AsyncClient(base_url=self.url) as client:

            async def is_ok() -> bool:
                self.check_alive()
                # several processes share the port, and any of them may answer
                if len(self.webs) > 1 and not all("web.serving" in web.read_log() for web in self.webs):
                    return False
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/ok")).status_code == 200
                return False

            await until(is_ok)

    def check_alive(self) -> None:
        for process in self.processes:
            assert process.popen.poll() is None, process.read_log()[-3000:]

    def print_logs(self) -> None:
        """The end of each process' log, for the report of a test that fails."""
        for process in self.processes:
            print(f"{process.log.name}, exit status {process.popen.poll()}:\n{process.read_log()[-5000:]}")  # noqa: T201  pytest captures it

    def sdk(self, **headers: str) -> LangGraphClient:
        return get_client(url=self.url, headers=headers, timeout=httpx.Timeout(DEADLINE))

    def http(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=DEADLINE)

    def stop(self) -> None:
        for process in self.processes:
            process.kill(signal.SIGTERM)
        end = time.monotonic() + DEADLINE
        for process in self.processes:
            try:
                process.popen.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.popen.wait()


OURS = (
    *("AGENTHALL_", "AGENT_SYNC_", "AUTH_", "DATABASE_", "CATALOGUE_"),
    *("LANGCHAIN_", "LANGGRAPH_", "LANGSMITH_", "OTEL_", "REDIS_"),
)
"""Prefixes of variables that a server reads, and that a developer's shell may have."""

_PORTS_OF_A_SERVER = 4
"""The web's, the sockets' and those of the demo's servers follow each other."""


_BLOCKED_BY_FETCH = 10_080
"""A port to which `fetch` does not connect. The standard blocks it."""


def _candidates() -> Iterator[int]:
    """Ports of this worker of the suite, below those that the system gives to outgoing connections (from 32768)."""
    worker = int("0" + "".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", ""))))
    first = 10_000 + worker % 5 * 4_000  # two cores have five workers
    ports = [port for port in range(first, first + 4_000, _PORTS_OF_A_SERVER) if port != _BLOCKED_BY_FETCH]
    start = random.randrange(len(ports))  # another suite may run on this machine
    return itertools.cycle([*ports[start:], *ports[:start]])


_ports = _candidates()


def free_port() -> int:
    """Return a port that is free, as are the three after it, and that nobody else in this suite is given."""
    return next(port for port in _ports if all(map(_can_bind, range(port, port + _PORTS_OF_A_SERVER))))


def _can_bind(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.asynccontextmanager
async def live_server(
    url: str, *, webs: int = 1, workers: int = 1, web_program: tuple[str, ...] | None = None, **settings: str
) -> AsyncIterator[LiveServer]:
    """Run a server on the database `url`. `settings`: environment variables. Killed at the end if it does not stop.

    `web_program`: arguments of Python that web processes have in the place of `-m robyn_server`.
    """
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | {
        "DATABASE_URL": url,
        "AGENTHALL_PORT": str(port),
        "AGENTHALL_SHARE_PORT": "1",
        "AGENTHALL_GRAPHS": orjson.dumps(GRAPHS).decode(),
        "AGENTHALL_DEFAULT_MODEL": "offline:demo",
        "AGENTHALL_EGRESS": "loopback",  # the MCP servers of tests are on this machine
        "AGENTHALL_LOG_FORMAT": "json",
        "AGENTHALL_HEARTBEAT": "0.5",
        "AGENTHALL_REQUEST_TIMEOUT": str(
            DEADLINE
        ),  # on a busy machine LangGraph's import alone may take the default of 8 s
        **settings,
    }
    with tempfile.TemporaryDirectory(prefix="agenthall-live-") as folder:
        server = LiveServer(url, port, environment, Path(folder), web_program)
        try:
            for _ in range(webs):
                server.add_web()
            for _ in range(workers):
                server.add_worker()
            await server.ready()
            yield server
        except BaseException:
            server.print_logs()
            raise
        finally:
            server.stop()
