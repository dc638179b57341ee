"""Real processes for the tests of this folder: starting them, waiting for what they do, making sure that they are gone."""

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

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
DEADLINE = 30.0

_T = TypeVar("_T")


def eventually(look: Callable[[], _T], what: str = "the condition") -> _T:
    """The first true answer of `look`, or a failure after DEADLINE seconds."""
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


def arguments_of(process: psutil.Process) -> str:
    """Nothing, when it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """All living processes that were started with `data_dir` in their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            mentions = str(data_dir) in " ".join((*process.cmdline(), *process.environ().values()))
            if mentions and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def start(
    program: str, *arguments: object, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """A program of this folder, with its output captured."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT", "DATABASE_"))}
    return subprocess.Popen(
        [options.pop("python", sys.executable), str(HERE / program), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        **options,
    )


def finish(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Send a signal, wait; exit code, output, errors."""
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err
