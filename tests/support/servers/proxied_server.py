"""`agenthall serve` on an address that counts as one of a network, with Caddy in front.

127.0.0.2 is no address that other machines reach, but the server does not take it for loopback.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from deadlines import DEADLINE
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from robyn_server.supervisor.parent_death import death_signal
from servers.live_server import GRAPHS, OURS, free_port, until

HOST = "127.0.0.2"


@dataclass(frozen=True)
class ProxiedServer:
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def sockets_url(self) -> str:
        return f"ws://{HOST}:{self.port}/ws"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def child(self, word: str) -> psutil.Process:
        """Return the child whose last argument ends with this word."""
        [found] = [each for each in psutil.Process(self.process.pid).children() if _last_argument(each).endswith(word)]
        return found

    def http(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=DEADLINE)

    def sdk(self, headers: dict[str, str]) -> LangGraphClient:
        return get_client(url=self.url, headers=headers, timeout=httpx.Timeout(DEADLINE))

    async def ready(self) -> None:
        async with self.http() as http:

            async def is_ok() -> bool:
                assert self.process.poll() is None, self.log[-3000:]
                with contextlib.suppress(httpx.TransportError):
                    return (await http.get("/ok")).status_code == 200
                return False

            await until(is_ok)


def _last_argument(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[-1]
    except psutil.NoSuchProcess:
        return ""


@contextlib.asynccontextmanager
async def proxied_server(url: str, **settings: Any) -> AsyncIterator[ProxiedServer]:
    """Run `serve` on the database `url`. `settings`: environment variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | {
        "DATABASE_URL": url,
        "AGENTHALL_GRAPHS": orjson.dumps(GRAPHS).decode(),
        "AGENTHALL_DEFAULT_MODEL": "offline:demo",
        "AGENTHALL_LOG_FORMAT": "json",
        "AGENTHALL_HEARTBEAT": "0.5",
        "AGENTHALL_REQUEST_TIMEOUT": str(DEADLINE),
        **settings,
    }
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="agenthall-proxied-") as name:
        folder = Path(name)
        arguments = ["serve", "--host", HOST, "--port", str(port), "--data-dir", str(folder / "data")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "robyn_server", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509  only a system call
            )
        server = ProxiedServer(port, folder, process)
        try:
            await server.ready()
            yield server
        except BaseException:
            print(server.log[-8000:])  # noqa: T201  pytest captures it
            raise
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
