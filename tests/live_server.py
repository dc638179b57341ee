"""A whole server as users run it: web and worker processes of their own on a database, spoken to over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from robyn_server.runtime.lifeline import death_signal

TESTS = Path(__file__).parent
DEADLINE = 30.0
SAMPLES = TESTS / "sample_graphs.py"
GRAPHS = {
    "agent": "tools_agent.agent:graph",
    **{name: f"{SAMPLES}:{name}" for name in ("echo", "counter", "approval", "failing", "context")},
}


async def until(condition: Callable[[], Any | Awaitable[Any]], seconds: float = DEADLINE) -> Any:
    """The first true value of `condition`, which may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            await asyncio.sleep(0.02)


class Process:
    """One child of ours, which ends when the test process does; its output goes to a file."""

    def __init__(self, command: str, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._arguments = [sys.executable, "-m", "robyn_server", command]
        self._environment = environment
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                self._arguments,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  nothing but a system call
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    async def ended(self) -> int:
        await until(lambda: self.popen.poll() is not None)
        return self.popen.returncode

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(number)


class LiveServer:
    def __init__(self, url: str, port: int, environment: dict[str, str], folder: Path) -> None:
        self.database = url
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.environment = environment
        self._folder = folder
        self.webs: list[Process] = []
        self.workers: list[Process] = []

    def add_web(self) -> Process:
        self.webs.append(Process("web", self.environment, self._folder / f"web{len(self.webs)}.log"))
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
                # several share the port, and any of them may answer
                if len(self.webs) > 1 and not all("web.serving" in web.said() for web in self.webs):
                    return False
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/ok")).status_code == 200
                return False

            await until(is_ok)

    def check_alive(self) -> None:
        for process in self.processes:
            assert process.popen.poll() is None, process.said()[-3000:]

    def sdk(self, **headers: str) -> LangGraphClient:
        return get_client(url=self.url, headers=headers, timeout=httpx.Timeout(30))

    def http(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30)

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.asynccontextmanager
async def live_server(url: str, *, webs: int = 1, workers: int = 1, **settings: str) -> AsyncIterator[LiveServer]:
    """A server on the database `url`, ready; `settings` are environment variables. Killed at the end where it does not stop."""
    port = free_port()
    ours = ("AGENTHALL_", "AGENT_SYNC_", "AUTH_", "DATABASE_", "CATALOGUE_", "LANGSMITH_", "LANGGRAPH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "DATABASE_URL": url,
        "AGENTHALL_PORT": str(port),
        "AGENTHALL_SHARE_PORT": "1",
        "AGENTHALL_GRAPHS": orjson.dumps(GRAPHS).decode(),
        "AGENTHALL_DEFAULT_MODEL": "offline:demo",
        "AGENTHALL_LOG_FORMAT": "json",
        "AGENTHALL_HEARTBEAT": "0.5",
        **settings,
    }
    with tempfile.TemporaryDirectory(prefix="agenthall-live-") as folder:
        server = LiveServer(url, port, environment, Path(folder))
        try:
            for _ in range(webs):
                server.add_web()
            for _ in range(workers):
                server.add_worker()
            await server.ready()
            yield server
        finally:
            server.stop()
