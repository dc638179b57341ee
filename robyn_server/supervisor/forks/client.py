"""Start a fork server, and ask it for processes (server.py)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CAN_FORK = sys.platform == "linux"
"""A fork server needs descriptors of processes, and signals at the death of a parent."""
_PROGRAM = "robyn_server.supervisor.forks.server"
_STREAMS = (1, 2)
_PID_BYTES = 16


class ForkedProcess:
    """As asyncio's Process, without pipes."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def send_signal(self, number: int) -> None:
        """Raises ProcessLookupError."""
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Return the exit code; a negative one is the number of the signal. One caller waits."""
        loop, is_readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._status, is_readable.set)
        try:
            await is_readable.wait()
        finally:
            loop.remove_reader(self._status)
        self.returncode = int(os.read(self._status, _PID_BYTES) or -signal.SIGKILL)  # empty: the fork server has ended
        os.close(self._status)
        return self.returncode


class ForkServer:
    """A process that has imported `modules`, and is started when the first fork is asked for, or by `start`."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self) -> None:
        """Start it, so that the first fork waits for no import. Raises OSError."""
        self._started()

    async def stop(self) -> None:
        """End it, and with it what it has forked."""
        process = self._process
        self._forget()
        if process is not None:
            await asyncio.to_thread(process.wait)

    def _forget(self) -> None:
        if self._requests is not None:
            self._requests.close()
        self._process = self._requests = None

    async def fork(self, arguments: Sequence[str], environment: Callable[[int], Mapping[str, str]]) -> ForkedProcess:
        """Start `agenthall ARGUMENTS` with the output of this process, and without input.

        `environment`: of a process whose parent has this id. Raises OSError.
        """
        try:
            return await self._fork(arguments, environment)
        except ConnectionError:  # it has ended, and its forks with it
            self._forget()
            return await self._fork(arguments, environment)

    async def _fork(self, arguments: Sequence[str], environment: Callable[[int], Mapping[str, str]]) -> ForkedProcess:
        process, requests = self._started()
        variables = dict(environment(process.pid))
        request = {"arguments": list(arguments), "environment": variables, "folder": str(Path.cwd())}
        return await asyncio.shield(asyncio.to_thread(self._ask, requests, json.dumps(request).encode()))

    def _ask(self, requests: socket.socket, request: bytes) -> ForkedProcess:
        ours, theirs = os.pipe()
        try:
            with self._lock, open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
                socket.send_fds(requests, [request], [nothing.fileno(), *_STREAMS, theirs])
                answer = requests.recv(_PID_BYTES)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        if not answer:
            os.close(ours)
            raise ConnectionResetError("the fork server has ended")
        return ForkedProcess(int(answer), ours)

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        if self._process is None or self._requests is None or self._process.poll() is not None:
            self._forget()
            self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:  # the fork server ends when nobody holds the other end
                command = [sys.executable, "-m", _PROGRAM, str(theirs.fileno()), *self._modules]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])  # noqa: S603 - our own
        return self._process, self._requests
