"""A terminal for programs, and the lines that are on its screen in the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = 60.0
"""The longest time that a recording waits for a text."""

_PART = re.compile(r"\r\n|\r|\n|\x1b\[[?\d;]*[a-zA-Z]|[^\r\n\x1b]+|\x1b")
_UP, _CLEAR = "\x1b[1A", {"\x1b[K", "\x1b[2K"}


def screen_lines(printed: str) -> list[str]:
    """Return the lines that stay: progress and spinners overwrite theirs. Colours stay in the text."""
    lines, is_at_start = [""], False
    for part in _PART.findall(printed):
        if part in {"\r\n", "\n"}:
            lines, is_at_start = [*lines, ""], False
        elif part == "\r":
            is_at_start = True
        elif part in _CLEAR:
            lines[-1], is_at_start = "", False
        elif part == _UP:
            lines = lines[:-1] or [""]
        elif part[0] != "\x1b" or part.endswith("m"):
            lines[-1] = part if is_at_start else lines[-1] + part
            is_at_start = False
    return lines if lines[-1] else lines[:-1]


class Terminal:
    """A program in a terminal of its own, with all that it has printed."""

    def __init__(self, process: int, descriptor: int) -> None:
        self._process, self._descriptor = process, descriptor
        self._has_ended = False
        self.printed = ""

    @classmethod
    @contextlib.contextmanager
    def running(cls, command: str, folder: Path, columns: int) -> Iterator[Terminal]:
        """Run a command until the block ends, which interrupts it."""
        process, descriptor = pty.fork()
        if process == 0:
            os.chdir(folder)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell starts programs in the background without it
            arguments = shlex.split(command)
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT", "AUTH_"))}
            environment |= {"TERM": "xterm-256color", "COLUMNS": str(columns)}
            os.execvpe(arguments[0], arguments, environment)  # noqa: S606 - our own commands
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        terminal = cls(process, descriptor)
        try:
            yield terminal
        finally:
            terminal.stop()

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str, seconds: float = SECONDS, *, after: str = "") -> None:
        """Read until the program has printed `text`, behind `after`. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while text not in self._printed_behind(after):
            if time.monotonic() > end or self._has_ended:
                raise TimeoutError(f"{text!r} was not printed: {self.printed[-2000:]}")
            self._read()

    def _printed_behind(self, mark: str) -> str:
        """The text behind the last `mark`; none while it was not printed."""
        at = self.printed.rfind(mark) if mark else 0
        return "" if at == -1 else self.printed[at + len(mark) :]

    def wait_for_end(self, seconds: float = SECONDS) -> None:
        """Read until the program has ended. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not self._has_ended:
            if time.monotonic() > end:
                raise TimeoutError(f"the program goes on: {self.printed[-2000:]}")
            self._read()

    def stop(self) -> None:
        """Interrupt the program as Ctrl-C does, and wait for its end."""
        if not self._has_ended:
            os.kill(self._process, signal.SIGINT)
            self.wait_for_end()
        os.waitpid(self._process, 0)
        os.close(self._descriptor)

    def _read(self) -> None:
        if not select.select([self._descriptor], [], [], 0.2)[0]:
            return
        try:
            read = os.read(self._descriptor, 65536)
        except OSError:  # Linux, when the last process has closed the terminal
            read = b""
        self._has_ended = not read
        self.printed += read.decode(errors="replace")
