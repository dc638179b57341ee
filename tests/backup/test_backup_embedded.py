"""The embedded database with the demo: saved while `agenthall serve` runs, restored into a new data directory."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from databases import fresh_database
from deadlines import DEADLINE
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from operator_commands import agenthall, environment
from servers.live_server import free_port, until

from robyn_server.supervisor.parent_death import death_signal

ELSEWHERE = {"DATABASE_DIRECT_URL": "postgresql://me@127.0.0.1:1/production"}
"""A variable that belongs to DATABASE_URL. Without that one, nothing may use it."""


@contextlib.asynccontextmanager
async def serve(data_dir: Path) -> AsyncIterator[LangGraphClient]:
    """`agenthall serve`, until the demo's agents are there."""
    port = free_port()
    log = data_dir.with_suffix(".log")
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "robyn_server", "serve", "--port", str(port), "--data-dir", str(data_dir)],
            env=environment(**ELSEWHERE),
            stdout=out,
            stderr=out,
            preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509  only a system call
        )
    client = get_client(url=f"http://127.0.0.1:{port}", timeout=httpx.Timeout(DEADLINE))

    async def is_ready() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        with contextlib.suppress(httpx.HTTPError):
            return bool(await client.assistants.search(metadata={}, name="Legal Researcher"))
        return False

    try:
        await until(is_ready)
        yield client
    finally:
        process.terminate()
        await until(lambda: process.poll() is not None)


async def _ask(client: LangGraphClient, thread: str, text: str) -> Any:
    [agent] = await client.assistants.search(name="Legal Researcher")
    question = {"messages": [{"role": "user", "content": text}]}
    return await client.runs.wait(thread, agent["assistant_id"], input=question)


def _ports(data_dir: Path) -> dict[str, int]:
    ports: dict[str, int] = json.loads((data_dir / "demo.json").read_text())["ports"]
    return ports


def _moved(assistants: Any, old: dict[str, int], new: dict[str, int]) -> Any:
    """A server of the demo moves if another program took its port meanwhile, and its tools' URLs with it."""
    text = json.dumps(assistants)
    for name, port in old.items():
        text = text.replace(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{new[name]}")
    return json.loads(text)


async def test_the_demo_goes_on_from_its_backup_in_another_directory(tmp_path: Path, postgres: str) -> None:
    first, second, saved = tmp_path / "first", tmp_path / "second", tmp_path / "demo.backup"
    async with serve(first) as client:
        thread = (await client.threads.create())["thread_id"]
        before = await _ask(client, thread, "Use the tool search_law: what about rent?")
        own = 'create schema "My Schema"; create table "My Schema"."A ""table""" as select 7 as seven'
        assert agenthall("psql", "--data-dir", first, "-c", own).returncode == 0
        done = agenthall("backup", saved, "--data-dir", first)
        assert done.returncode == 0, done.stderr
        assistants = await client.assistants.search(limit=100)
        refused = agenthall("restore", saved, "--replace", "--data-dir", first)
        assert refused.returncode == 1 and "stop it before" in refused.stderr
    ports = _ports(first)
    restored = agenthall("restore", saved, "--data-dir", second)
    assert restored.returncode == 0, restored.stderr
    again = agenthall("restore", saved, "--data-dir", second)
    assert again.returncode == 1 and "public" in again.stderr and "not empty" in again.stderr
    replaced = agenthall("restore", saved, "--replace", "--data-dir", second)
    assert replaced.returncode == 0, replaced.stderr
    async with serve(second) as client:
        asked = agenthall("psql", "--data-dir", second, "-At", "-c", 'select seven from "My Schema"."A ""table"""')
        assert asked.stdout.strip() == "7", asked.stderr
        assert await client.assistants.search(limit=100) == _moved(assistants, ports, _ports(second))
        after = await _ask(client, thread, "Use the tool search_law: what about theft?")
        assert after["messages"][: len(before["messages"])] == before["messages"]
        assert "stealing" in str(after["messages"][-1]) or "theft" in str(after["messages"][-1])

    async with fresh_database(postgres) as own:
        moved = agenthall("restore", saved, DATABASE_URL=own)
        assert moved.returncode == 0, moved.stderr
        assert "left out" in moved.stdout and "public" in moved.stdout


def test_a_missing_file_creates_no_database(tmp_path: Path) -> None:
    refused = agenthall("restore", tmp_path / "typo", "--data-dir", tmp_path / "new")
    assert refused.returncode == 2 and "there is no" in refused.stderr and not (tmp_path / "new").exists()


def test_a_direct_url_without_a_url_does_not_lead_away_from_the_embedded_database(tmp_path: Path) -> None:
    made = agenthall("migrate", "--data-dir", tmp_path / "db", **ELSEWHERE)
    assert made.returncode == 0, made.stderr
    saved = agenthall("backup", tmp_path / "x", "--data-dir", tmp_path / "db", **ELSEWHERE)
    assert saved.returncode == 0, saved.stderr
    restored = agenthall("restore", tmp_path / "x", "--replace", "--data-dir", tmp_path / "db", **ELSEWHERE)
    assert restored.returncode == 0, restored.stderr
