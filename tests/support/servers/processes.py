"""Start the programs of tests/supervisor, wait for what they do, and find processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil
from deadlines import DEADLINE

REPOSITORY = Path(__file__).parents[3]
PROGRAMS = REPOSITORY / "tests" / "supervisor"

_T = TypeVar("_T")


def wait_until(look: Callable[[], _T], what: str = "the condition") -> _T:
    """Return the first true result of `look`. Fails after DEADLINE seconds."""
    until = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < until, f"{what} did not come true within {DEADLINE:.0f} seconds"
        time.sleep(0.01)
    return found


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def command_line(process: psutil.Process) -> str:
    """Return the command line; empty for a process that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def find_processes(data_dir: Path) -> list[psutil.Process]:
    """Find live processes that have `data_dir` in their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            mentions = str(data_dir) in " ".join((*process.cmdline(), *process.environ().values()))
            if mentions and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def start_program(
    program: str, *arguments: object, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Start a program of tests/supervisor and capture its output."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT", "DATABASE_"))}
    return subprocess.Popen(
        [options.pop("python", sys.executable), str(PROGRAMS / program), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        **options,
    )


def stop_program(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Send a signal and wait. Returns exit code, stdout and stderr."""
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err
