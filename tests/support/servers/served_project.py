"""Serve a LangGraph project as its developer does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from robyn_server.supervisor.parent_death import death_signal
from servers.live_server import free_port, until


@contextlib.asynccontextmanager
async def serving(folder: Path, *arguments: str, command: str = "serve") -> AsyncIterator[tuple[str, Path]]:
    """`agenthall serve`, or another command that serves, in `folder`: its URL, and the file with its output."""
    port, log = free_port(), folder / "serve.log"
    ours = ("AGENT", "AUTH", "DATABASE", "CATALOGUE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "robyn_server", command, "--port", str(port), *arguments],
            cwd=folder,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  nothing but a system call
        )
    try:
        await until(lambda: "Agenthall is ready" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
