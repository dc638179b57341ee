"""The wheel on an empty machine: `agenthall serve` starts, the demo answers, and tools are called."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest
from deadlines import DEADLINE
from langgraph_sdk import get_client
from servers.live_server import free_port, until

REPOSITORY = Path(__file__).parent.parent
LEGAL_RESEARCHER = "1a000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, in a folder that Python prefers to the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
    ]
    subprocess.run([*build, "-w", str(folder), str(REPOSITORY)], check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("agenthall-*.whl"))) as wheel:
        wheel.extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_carries_migrations_demo_and_queries(installed: Path) -> None:
    files = installed / "robyn_server"
    assert sorted(path.name for path in (REPOSITORY / "migrations").glob("*.sql")) == sorted(
        path.name for path in (files / "_files" / "migrations").glob("*.sql")
    )
    assert (files / "_files" / "demo" / "catalogue.sql").is_file()
    assert (files / "storage" / "sql" / "runs" / "runs.sql").is_file()


@contextlib.asynccontextmanager
async def serving(installed: Path, data: Path, port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    ours = ("AGENTHALL_", "AGENT_SYNC_", "AUTH_", "DATABASE_", "CATALOGUE_", "OPENAI_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with (data.parent / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "robyn_server", "serve", "--port", str(port), "--data-dir", str(data)],
            env=environment | {"PYTHONPATH": str(installed)},
            cwd=data.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await until(
            lambda: process.poll() is not None or "Agenthall is ready" in (data.parent / "serve.log").read_text(), 60
        )
        assert process.poll() is None, (data.parent / "serve.log").read_text()[-3000:]
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def test_rows_of_the_catalogue_answer_with_their_tools_and_everything_stops(
    installed: Path, tmp_path: Path
) -> None:
    port, data = free_port(), tmp_path / "data"
    async with serving(installed, data, port) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        assert any(str(installed) in _path_of(child) for child in family)
        client = get_client(url=f"http://127.0.0.1:{port}", timeout=httpx.Timeout(DEADLINE))
        names = {each["name"] for each in await client.assistants.search(limit=100)}
        assert {"Legal Researcher", "Document Finder", "agent"} <= names
        thread = (await client.threads.create())["thread_id"]
        question = {"messages": [{"role": "user", "content": "Use the tool search_law: what about rent?"}]}
        tokens, states = [], []
        async for part in client.runs.stream(
            thread, LEGAL_RESEARCHER, input=question, stream_mode=["messages-tuple", "values"]
        ):
            if part.event == "messages":
                tokens.append(part.data[0])
            elif part.event == "values":
                states.append(part.data)
        assert len([token for token in tokens if token["type"] == "AIMessageChunk"]) > 5
        assert [message["type"] for message in states[-1]["messages"]] == ["human", "ai", "tool", "ai"]
        assert "tool search_law" in (data / "logs" / "legal_mcp.log").read_text()
        assert len((await client.threads.get_state(thread))["values"]["messages"]) == 4
        assert len(await client.threads.get_history(thread)) > 3
        again = {"messages": [{"role": "user", "content": "What did I say first?"}]}
        answer = await client.runs.wait(thread, LEGAL_RESEARCHER, input=again)
        assert "what about rent" in answer["messages"][-1]["content"]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    assert [child for child in family if _lives(child)] == []


def _path_of(child: psutil.Process) -> str:
    try:
        return child.environ().get("PYTHONPATH", "")
    except psutil.NoSuchProcess:
        return ""


def _lives(child: psutil.Process) -> bool:
    try:
        return child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_second_start_is_warm_and_remembers(installed: Path, tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "data"
    async with serving(installed, data, port) as process:
        client = get_client(url=f"http://127.0.0.1:{port}")
        thread = (await client.threads.create(metadata={"kept": True}))["thread_id"]
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 30) == 0
    (tmp_path / "serve.log").unlink()
    async with serving(installed, data, port):
        assert (await client.threads.get(thread))["metadata"] == {"kept": True}
        assert '"created": 0' in (tmp_path / "serve.log").read_text()
