"""A project moves here by its URL: its files and its client stay as they are."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE
from servers.live_server import SAMPLES
from servers.served_project import serving

pytestmark = pytest.mark.server

PROJECT = SAMPLES.with_name("moved_project")


async def _play(url: str) -> str:
    """The transcript that the project's client prints."""
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROJECT / "client.py"), url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE):
        printed, _ = await client.communicate()
    return printed.decode()


async def test_a_client_prints_the_transcript_that_it_printed_with_langgraph_dev(tmp_path: Path, database: str) -> None:
    """`transcript.txt` was recorded with langgraph-cli 0.4.40 and langgraph-api 0.16.7."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder)
    variables = (folder / "env.example").read_text()
    (folder / ".env").write_text(f"{variables}DATABASE_URL={database}\n")
    async with serving(folder) as (url, _):
        assert await _play(url) == (PROJECT / "transcript.txt").read_text()
