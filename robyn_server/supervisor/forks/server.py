"""`python -m robyn_server.supervisor.forks.server FD MODULE ...`: import modules, and fork a process of `agenthall` for
each request that arrives on the socket FD.

Rules
  1. A request is a datagram: `arguments`, `environment` and `folder` as JSON, with four descriptors. These are the
     three streams of the new process, and a pipe. The answer is its pid. When it has ended, its exit code is written to
     the pipe; a negative one is the number of the signal.
  2. Nothing that is imported reads a variable, an id or a clock of the process, or starts a thread. Of our own modules,
     `tests/test_forked_process.py` proves it.
  3. This process ends when nobody holds the other end of the socket. Its forks end with it.
"""

from __future__ import annotations

import contextlib
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
        with contextlib.suppress(BrokenPipeError):
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


def main(descriptor: str, *modules: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that asks, and so this one
    for name in modules:
        importlib.import_module(name)
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        sys.exit("a module has started a thread, which a fork would not have")
    gc.collect()
    gc.freeze()
    request = ForkServer(socket.socket(fileno=int(descriptor))).serve()
    become(request["arguments"], request["environment"], request["folder"])
    runpy.run_module("robyn_server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
