"""A program in a terminal of its own, driven by a test."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping

from deadlines import DEADLINE

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def _become_foreground() -> None:
    """Make the terminal the controlling one, so that Ctrl-C is a signal.

    A suite in the background hands on that it ignores it.
    """
    os.close(os.open(os.ttyname(0), os.O_RDWR))
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class PseudoTerminal:
    """`said` is all that the program wrote. `stdout`: where its standard output goes instead."""

    def __init__(self, command: list[str], environment: Mapping[str, str], columns: int, stdout: int | None) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_become_foreground,  # noqa: PLW1509 - only system calls
        )
        os.close(theirs)
        self._bytes = b""
        self._read_until = 0

    @property
    def said(self) -> str:
        return self._bytes.decode(errors="replace")

    @property
    def plain(self) -> str:
        return _ESCAPES.sub("", self.said)

    def expect(self, text: str) -> None:
        """Wait until the program has written `text` after what was expected before."""
        deadline = time.monotonic() + DEADLINE
        while (at := self._bytes.find(text.encode(), self._read_until)) < 0:
            assert time.monotonic() < deadline and self._read(), f"{text!r} is not in {self.plain!r}"
        self._read_until = at + len(text.encode())

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for the end of the program. Returns its exit code."""
        while self._read():
            pass
        return self._process.wait(DEADLINE)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        """Read once. Returns whether there may be more."""
        if not select.select([self._ours], [], [], DEADLINE)[0]:
            return False
        try:
            chunk = os.read(self._ours, 65536)
        except OSError:  # the program has closed the terminal
            return False
        self._bytes += chunk
        return bool(chunk)


@contextlib.contextmanager
def pseudo_terminal(
    *arguments: str, environment: Mapping[str, str], columns: int = 100, stdout: int | None = None
) -> Iterator[PseudoTerminal]:
    """Run `agenthall` with these arguments in a terminal. The environment has no NO_COLOR unless it is given."""
    names = {"NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"}
    ours = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-m", "robyn_server", *arguments]
    terminal = PseudoTerminal(command, {**ours, "TERM": "xterm-256color", **environment}, columns, stdout)
    try:
        yield terminal
    finally:
        terminal.close()


def until_closed(terminal: int) -> Iterator[bytes]:
    """Read our end of a terminal until its program has closed the other."""
    with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as reading:
        while chunk := reading.read(65536):
            yield chunk
