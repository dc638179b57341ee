"""Processes of `agenthall` as forks of a process that has imported the server and its libraries.

A suite starts some hundreds of processes. Most of the time of each would go into the same imports.

Rules
  1. Our own modules read nothing of the process when they are imported: no variable, id, name of the host or clock.
     `tests/test_forked_process.py` imports them while all of these are watched.
  2. A process that is to have other values of READ_AT_THE_START is not forked.
  3. There is one fork server for each process of the suite. It ends with that process, and its forks end with it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from deadlines import DEADLINE

from robyn_server.supervisor.parent_death import death_signal

MODULES = (
    "asyncpg",
    "httpcore",
    "httpx",
    "langchain.agents",
    "langchain.chat_models",
    "langgraph.checkpoint.postgres.aio",
    "langgraph.graph.message",
    "langgraph_sdk",
    "orjson",
    "prometheus_client",
    "psycopg_pool",
    "pydantic_settings",
    "rich.table",
    "structlog",
    "uvloop",
    "websockets.asyncio.server",
    "robyn_server.app.sockets",
    "robyn_server.app.web",
    "robyn_server.app.worker",
    "robyn_server.web.robyn.server",
    "robyn_server.web.routes",
    "robyn_server.worker.run_executor",
)
"""None of them reads the environment when it is imported, but for variables that READ_AT_THE_START names."""
READ_AT_THE_START = ("LANG", "LC_", "LD_", "OTEL_", "PROMETHEUS_", "PSYCOPG", "PYDANTIC_", "PYTHON", "WEBSOCKETS_")
"""Prefixes of variables that the loader, the interpreter, or a library reads when it is imported."""
is_enabled = True
"""Benchmarks set it to False: their processes are to be as those of users."""
_SET_BY_THE_SERVER = {"LANGGRAPH_STRICT_MSGPACK": "true"}
"""Set by robyn_server/graphs/checkpoints/serializer.py before it imports LangGraph, if it is not set."""


class ForkedProcess:
    """A process as `subprocess.Popen` shows it, without pipes."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)  # empty: the fork server is gone
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _ForkServer:
    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "robyn_server.supervisor.forks.server", str(theirs.fileno()), *MODULES],
            env=_SET_BY_THE_SERVER | os.environ,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()  # so the fork server ends when this process does

    def fork(self, arguments: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> ForkedProcess:
        request = json.dumps({"arguments": arguments, "environment": environment, "folder": folder}).encode()
        ours, theirs = os.pipe()
        with self._lock:
            socket.send_fds(self._socket, [request], [*streams, theirs])
            os.close(theirs)
            return ForkedProcess(int(self._socket.recv(16)), ours)


@functools.cache
def _fork_server() -> _ForkServer:
    return _ForkServer()


def start_agenthall(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdout: IO[Any] | int,
    stderr: IO[Any] | int,
) -> ForkedProcess | subprocess.Popen[bytes]:
    """Start `agenthall ARGUMENTS`, without input. It ends with this process."""
    if not is_enabled or sys.platform != "linux" or _read_at_the_start(env) != _read_at_the_start(os.environ):
        return subprocess.Popen(
            [sys.executable, "-m", "robyn_server", *arguments],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  only a system call
        )
    with Path(os.devnull).open("rb") as nothing:
        streams = [each if isinstance(each, int) else each.fileno() for each in (nothing, stdout, stderr)]
        return _fork_server().fork(list(arguments), dict(env), str(cwd or Path.cwd()), streams)


def run_agenthall(*arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `agenthall ARGUMENTS` to its end, without input and without a terminal."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start_agenthall(*arguments, env=env, cwd=cwd, stdout=out, stderr=err)
        try:
            code = process.wait(DEADLINE)
        except BaseException:
            process.kill()
            raise
        texts = [each.read().decode() for each in (out, err) if each.seek(0) == 0]
        return subprocess.CompletedProcess(["agenthall", *arguments], code, *texts)


def _read_at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    read = {name: value for name, value in environment.items() if name.startswith(READ_AT_THE_START)}
    return _SET_BY_THE_SERVER | read
