"""The command `agenthall` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deadlines import DEADLINE
from servers.forked_process import run_agenthall


def agenthall(
    *arguments: str, cwd: Path | None = None, given: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENT", "AUTH", "DATABASE_"))
    }
    if given is None:
        return run_agenthall(*arguments, cwd=cwd, env={**inherited, **environment})
    return subprocess.run(  # a forked process has no input
        [sys.executable, "-m", "robyn_server", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
        cwd=cwd,
        input=given,
        env={**inherited, **environment},
    )


def imported(*argv: str) -> set[str]:
    """Top-level names of all modules that a Python process with these arguments imported."""
    said = subprocess.run([sys.executable, "-X", "importtime", *argv], capture_output=True, text=True, check=True)
    lines = [line for line in said.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().partition(".")[0] for line in lines}
