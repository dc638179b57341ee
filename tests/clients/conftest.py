"""A whole server with its sockets process, and the client package as it lies in the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from databases import fresh_database
from live_server import free_port, live_server, until
from made_keys import make_key

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "sockets"))
sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python"))

from cut_proxy import Proxy
from registry_place import HARBOUR, MEADOW, Place, Sockets


@pytest.fixture(scope="session")
async def place(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    settings = {
        "AUTH_MODE": "keys",
        "AGENTHALL_SOCKETS_PORT": str(free_port()),
        "AGENTHALL_SOCKETS_RECHECK": "0.3",
        "AGENTHALL_DRAIN_SECONDS": "2",
    }
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, workers=0, **settings) as server,
        server.http() as http,
    ):
        sockets = Sockets(server.environment, tmp_path_factory.mktemp("sockets") / "sockets.log")
        try:
            made = Place(server.url, url, sockets, http)
            made.key, made.other_key = await make_key(url, HARBOUR), await make_key(url, MEADOW)
            http.headers["x-api-key"] = made.key
            await until(made.is_listening)
            yield made
        finally:
            sockets.kill()
            sockets.popen.wait()


@pytest.fixture
async def proxy(place: Place) -> AsyncIterator[Proxy]:
    made = Proxy(place.sockets_port)
    async with made.serving():
        yield made


@pytest.fixture(autouse=True)
def _own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTHALL_STATE_DIR", str(tmp_path))
    for name in ("AGENTHALL_URL", "AGENTHALL_API_KEY", "AGENTHALL_TENANT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def program(place: Place, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `program_instance.py` as a process of its own; it writes a line for whatever happens to it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "AGENTHALL_URL": place.sockets_url, "AGENTHALL_API_KEY": place.key}
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
