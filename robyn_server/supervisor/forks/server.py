"""Import the server and its libraries, and fork processes of `agenthall` that need them (see forked_process.py)."""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

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
"""None of them reads the environment when it is imported, but for variables that forked_process.py names."""


class ForkServer:
    """Forks a process for each request, and tells how each has ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any]:
        """Return the request in the process that was forked for it. Exits when no more requests can come."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._requests:
                    self._report(key)
                elif (request := self._fork()) is not None:
                    return request

    def _fork(self) -> dict[str, Any] | None:
        message, descriptors, _, _ = socket.recv_fds(self._requests, 1 << 20, 4)
        if not message:
            sys.exit()
        *streams, status = descriptors
        die_with_parent = death_signal(signal.SIGKILL)
        pid = os.fork()
        if pid == 0:
            die_with_parent()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            return dict(json.loads(message))
        for stream in streams:
            os.close(stream)
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, status))
        self._requests.send(str(pid).encode())
        return None

    def _report(self, ended: selectors.SelectorKey) -> None:
        pid, status = ended.data
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._selector.unregister(ended.fileobj)
        os.close(ended.fd)
        os.write(status, str(code).encode())
        os.close(status)


def become(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Make this process what `python -m robyn_server ARGUMENTS` would have made."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["robyn_server", *arguments]
    sys.path[0] = folder


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, which end this process
    for name in MODULES:
        importlib.import_module(name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork has only the thread that forked"
    gc.collect()
    gc.freeze()
    request = ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
    become(request["arguments"], request["environment"], request["folder"])
    runpy.run_module("robyn_server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
