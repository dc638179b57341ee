"""A whole server with a sockets process, and the client package from this repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from bots.scripted_job_server import ScriptedJobServer, scripted_job_server
from network.faulty_proxy import WebSocketProxy
from registry_server import RegistryServer, registry_server


@pytest.fixture(scope="module")
async def server(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RegistryServer]:
    async with registry_server(postgres, template, tmp_path_factory.mktemp("sockets") / "sockets.log") as server:
        yield server


@pytest.fixture
async def proxy(server: RegistryServer) -> AsyncIterator[WebSocketProxy]:
    proxy = WebSocketProxy(server.sockets_port)
    async with proxy.serving():
        yield proxy


@pytest.fixture
async def jobs_server() -> AsyncIterator[ScriptedJobServer]:
    """Gives jobs as the test tells it."""
    async with scripted_job_server() as server:
        yield server


@pytest.fixture
async def jobs_proxy(jobs_server: ScriptedJobServer) -> AsyncIterator[WebSocketProxy]:
    async with WebSocketProxy(jobs_server.port).serving() as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTHALL_STATE_DIR", str(tmp_path))
    for name in ("AGENTHALL_URL", "AGENTHALL_API_KEY", "AGENTHALL_TENANT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start_program(server: RegistryServer, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `program_instance.py` as a process that prints one line for each event."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "AGENTHALL_URL": server.sockets_url, "AGENTHALL_API_KEY": server.key}
        program = Path(__file__).parent / "program_instance.py"
        started.append(
            subprocess.Popen(
                [sys.executable, str(program), *arguments],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()
