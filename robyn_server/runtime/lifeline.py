"""Nothing outlives the supervisor, even when it is killed with -9.

Linux: the kernel sends a signal of our choice to a child whose parent ends (PR_SET_PDEATHSIG). Rules, from prctl(2):
it is the *thread* that spawned the child that counts, so only the main thread spawns; a change of credentials clears
the setting, so it is made after setuid and after unshare; the parent may be gone before the call, so its pid is
compared afterwards.

Elsewhere (macOS; the mechanism is tested on Linux, never run on macOS): a shell waits at the end of a pipe whose other
end only the supervisor holds, and acts at end of file.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

PR_SET_PDEATHSIG = 1
HAS_DEATH_SIGNAL = sys.platform == "linux"

_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork: between fork and exec nothing may be imported or opened by name."""


def death_signal(number: int) -> Callable[[], None]:
    """A step between fork and exec: the new process gets signal `number` when this one ends."""
    parent = os.getpid()

    def step() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return step if HAS_DEATH_SIGNAL else _nothing


def _nothing() -> None:
    pass


class Watchdog:
    """Runs `command` when this process ends before `stand_down` was called."""

    def __init__(self, command: Sequence[str]) -> None:
        self._shell = subprocess.Popen(  # noqa: S603 - our own command
            ["/bin/sh", "-c", 'cat >/dev/null; exec "$@"', "watchdog", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stand_down(self) -> None:
        """The watched process has ended; its number may be somebody else's from now on."""
        self._shell.kill()
        self._shell.wait()
        if self._shell.stdin is not None:
            self._shell.stdin.close()


def watchdog(command: Sequence[str]) -> Watchdog | None:
    """A watchdog where the system has no death signal."""
    return None if HAS_DEATH_SIGNAL else Watchdog(command)
