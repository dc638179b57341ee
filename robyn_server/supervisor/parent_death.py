"""Ends child processes when the supervisor ends, even by SIGKILL.

On Linux the kernel sends a signal to a child whose parent ends (PR_SET_PDEATHSIG). Rules, from prctl(2):

1. The parent is the *thread* that spawned the child, so only the main thread spawns.
2. A change of credentials clears the setting, so it is made after setuid and after unshare.
3. The parent may end before the call, so its pid is compared afterwards.

Elsewhere a shell reads from a pipe whose other end only the supervisor holds, and acts at end of file. This is tested
on Linux and has never run on macOS.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

PR_SET_PDEATHSIG = 1
HAS_DEATH_SIGNAL = sys.platform == "linux"

_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork, because nothing may be imported between fork and exec."""


def death_signal(number: int) -> Callable[[], None]:
    """Return a function to call between fork and exec, after which the new process gets signal `number` when this one
    ends."""
    parent = os.getpid()

    def step() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return step if HAS_DEATH_SIGNAL else _nothing


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when `parent`, which started it, ends."""
    if HAS_DEATH_SIGNAL:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _nothing() -> None:
    pass


class Watchdog:
    """Runs `command` if this process ends before `cancel` is called."""

    def __init__(self, command: Sequence[str]) -> None:
        self._shell = subprocess.Popen(  # noqa: S603 - our own command
            ["/bin/sh", "-c", 'cat >/dev/null; exec "$@"', "watchdog", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def cancel(self) -> None:
        """Stop watching. The process has ended, and its pid may be reused."""
        self._shell.kill()
        self._shell.wait()
        if self._shell.stdin is not None:
            self._shell.stdin.close()


def watchdog(command: Sequence[str]) -> Watchdog | None:
    """Return a watchdog if the system has no death signal."""
    return None if HAS_DEATH_SIGNAL else Watchdog(command)
