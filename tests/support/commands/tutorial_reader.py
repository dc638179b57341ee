"""A reader of a tutorial: runs its commands and saves its programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import ROOT
from servers.live_server import until

from robyn_server.supervisor.parent_death import death_signal

OURS = ("AGENTHALL_", "AGENT_SYNC_", "AUTH_", "DATABASE_", "CATALOGUE_", "LANGSMITH_", "LANGGRAPH_")


class Reader:
    """Somebody who does what a tutorial says, with the server on another port and a data directory elsewhere."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment = kept | {
            "AGENTHALL_DATA_DIR": str(folder / "data"),
            "AGENTHALL_URL": f"http://127.0.0.1:{port}",
            "AGENTHALL_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'clients' / 'python'}",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }

    def adapted(self, text: str) -> str:
        text = re.sub(r"(?<!\S)(?:\.\./)?\.venv/bin/agenthall", f"{sys.executable} -m robyn_server", text)
        text = re.sub(r"(?<!\S)(?:(?:\.\./)?\.venv|bot)/bin/python", sys.executable, text)
        return text.replace("http://127.0.0.1:2024", self.environment["AGENTHALL_URL"])

    def save(self, name: str, program: str) -> None:
        (self.folder / name).write_text(self.adapted(program), encoding="utf-8")

    def start(self, command: str, log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as out:
            return subprocess.Popen(
                ["bash", "-c", f"exec {self.adapted(command)}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  nothing but a system call
            )

    def do(self, command: str) -> str:
        """Run the command; return what it prints."""
        done = self._run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        asked = ["bash", "-euc", self.adapted(command)]
        return subprocess.run(asked, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)

    async def printed(self, log: str, text: str) -> None:
        """Waits until `log` has `text`."""
        try:
            await until(lambda: text in (self.folder / log).read_text(encoding="utf-8"), 60)
        except TimeoutError:
            pytest.fail(f"{text!r} is not in {log}: {(self.folder / log).read_text()[-3000:]}")

    async def answers(self, command: str, *texts: str) -> None:
        """Waits until the command prints all of `texts`: an edit takes milliseconds, and a reload some seconds."""
        await until(lambda: all(text in printed for printed in [self._run(command).stdout] for text in texts))
