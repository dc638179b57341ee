"""Run programs of PostgreSQL that report their progress on standard error."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from robyn_server.supervisor.parent_death import death_signal

_KEPT_LINES = 8
_STOP_SECONDS = 10.0


class Progress(Protocol):
    """`expect` and `reached` are numbers of steps: tables of a backup, entries of an archive."""

    def expect(self, total: int) -> None: ...
    def reached(self, done: int) -> None: ...


class Messages:
    """Reads the messages of a verbose program: counts those of steps, and keeps the last of the others."""

    def __init__(self, steps: Sequence[str], progress: Progress) -> None:
        self._steps = tuple(steps)
        self._progress = progress
        self._done = 0
        self._others: deque[str] = deque(maxlen=_KEPT_LINES)

    def take(self, line: str) -> None:
        _, _, message = line.partition(": ")
        if message.startswith(self._steps):
            self._done += 1
            self._progress.reached(self._done)
        elif "error: " in line or "ERROR: " in line or "detail: " in line or "hint: " in line.lower():
            self._others.append(line.rstrip())

    @property
    def failure(self) -> str:
        return "\n".join(self._others) or "it gave no reason"


@contextlib.contextmanager
def running(
    argv: Sequence[str], environment: Mapping[str, str], *, stdin: int, stdout: int, stderr: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that ends with this process, and stop it if the block is left before it has ended."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        argv,
        env=dict(environment),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        umask=0o077,
        preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509 - a system call only
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # the program has ended, and what is left cannot be written
                process.stdin.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
