"""An MCP server of tests/mcp_servers as a process."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from deadlines import DEADLINE

from robyn_server.ports import hold_port

SERVERS = Path(__file__).parents[2] / "mcp_servers"


class McpProcess:
    """Ends with its `with` block."""

    def __init__(self, script: str, *arguments: str) -> None:
        with hold_port("127.0.0.1", 0) as held:
            self._port = held.getsockname()[1]
        self._command = [sys.executable, str(SERVERS / script), "--port", str(self._port), *arguments]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        end = time.monotonic() + DEADLINE
        while not self._accepts():
            assert self._process.poll() is None and time.monotonic() < end, self._command
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False
