"""A child of the supervisor: what to run, and the process that runs it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from .output.log import open_log
from .parent_death import Watchdog, death_signal, watchdog
from .readiness import READY_FD


class Stage(IntEnum):
    """Stages in the order in which they are stopped, so that a process stops before the ones it depends on."""

    WATCH = 0
    WEB = 1
    SOCKETS = 2
    PROXY = 3
    WORKER = 4
    DEMO = 5
    DATABASE = 6


class Child(Protocol):
    """A process that the supervisor starts, watches and stops."""

    @property
    def name(self) -> str: ...
    @property
    def stage(self) -> Stage: ...
    @property
    def pid(self) -> int | None: ...

    def launch(self) -> None:
        """Start the process and return at once."""

    def poll(self) -> int | None:
        """Return None while the process runs, else its exit code (negative: the signal that ended it)."""

    def is_ready(self) -> bool: ...

    def drain(self) -> None:
        """Ask the process to finish its work and exit."""

    def kill(self) -> None:
        """Kill the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to run. `environment` is the whole environment of the process.

    A program is ready when it calls `announce_ready` or, with `listens_on`, when that port of `address` accepts
    connections. Its output goes to the file `log`, or to the supervisor's own output.
    """

    name: str
    argv: tuple[str, ...]
    stage: Stage
    environment: Mapping[str, str] = field(default_factory=dict)
    listens_on: int | None = None
    address: str = "127.0.0.1"
    log: Path | None = None


class ProgramChild:
    """Runs a program in its own session, so that Ctrl-C at the terminal reaches only the supervisor."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        self._ready_pipe: int | None = None
        self._ready = False

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def stage(self) -> Stage:
        return self.program.stage

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def launch(self) -> None:
        self._reset()
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            self._process = self._spawn(writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._ready_pipe = reading
        self._watchdog = watchdog(["kill", "-9", str(self._process.pid)])

    def _spawn(self, ready: int) -> subprocess.Popen[bytes]:
        log = open_log(self.program.log) if self.program.log else None
        with log or contextlib.nullcontext():
            return subprocess.Popen(  # noqa: S603 - our own programs
                self.program.argv,
                env={**self.program.environment, READY_FD: str(ready)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=None if log is None else subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(ready,),
                preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509 - the supervisor has one thread
            )

    def poll(self) -> int | None:
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None and self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        return code

    def is_ready(self) -> bool:
        if not self._ready:
            self._ready = self._has_announced() if self.program.listens_on is None else self._answers()
        return self._ready

    def _has_announced(self) -> bool:
        if self._ready_pipe is None:
            return False
        try:
            line = os.read(self._ready_pipe, 64)
        except BlockingIOError:
            return False
        self._close_pipe()  # after the line, or at the end of a process that wrote none
        return bool(line)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection((self.program.address, self.program.listens_on or 0), timeout=0.2).close()
            return True
        return False

    def drain(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _reset(self) -> None:
        self._close_pipe()
        self._process, self._ready = None, False

    def _close_pipe(self) -> None:
        if self._ready_pipe is not None:
            os.close(self._ready_pipe)
            self._ready_pipe = None
