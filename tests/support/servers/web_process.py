"""The sample server as a process, and raw connections to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
from deadlines import DEADLINE

SAMPLE = Path(__file__).with_name("sample_server.py")


async def until(condition: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """Wait for the first true value of `condition`, which may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)


class WebProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = asyncio.create_task(self._read())
        self.port = 0

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())

    def find_log(self, event: str) -> dict[str, Any]:
        """Return the first log entry with that event; empty without one."""
        for line in list(self.lines):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == event:
                    return dict(entry)
        return {}

    async def listening(self) -> WebProcess:
        entry = await until(lambda: self.find_log("web.listening") or self._ended())
        self.port = entry["port"]
        return self

    def _ended(self) -> bool:
        assert self.process.returncode is None, f"exited {self.process.returncode}: {self.lines}"
        return False

    async def ready(self) -> WebProcess:
        await self.listening()
        await until(lambda: any(line.startswith("ready") for line in self.lines))
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def wait_for_exit(self) -> int:
        async with asyncio.timeout(DEADLINE):
            code = await self.process.wait()
            await self._reader
        return code

    async def state(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            return dict((await client.get(f"{self.url}/state")).json())

    async def send_raw(self, request: bytes) -> bytes:
        """Send raw bytes and return everything that comes back until the connection closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            writer.write_eof()
            async with asyncio.timeout(DEADLINE):
                return await reader.read()
        finally:
            writer.close()

    async def open_stream(self, path: str) -> StreamClient:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
        client = StreamClient(reader, writer)
        async with asyncio.timeout(DEADLINE):
            client.head = await reader.readuntil(b"\r\n\r\n")
        return client


class StreamClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""

    async def read_until(self, text: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(text)

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    def close(self) -> None:
        """Close with FIN."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def start_web_process(*arguments: str, **environment: str) -> WebProcess:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTHALL_", "AUTH_"))}
    settings = {
        "AGENTHALL_PORT": "0",
        "AGENTHALL_LOG_FORMAT": "json",
        "AGENTHALL_HEARTBEAT": "0.3",
        "AGENTHALL_MAX_STREAMS": "400",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SAMPLE),
        *arguments,
        env=inherited | settings | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    return WebProcess(process)


@contextlib.asynccontextmanager
async def web_process(*arguments: str, **environment: str) -> AsyncIterator[WebProcess]:
    """Run a sample server. It is killed at the end if it still runs."""
    process = await start_web_process(*arguments, **environment)
    try:
        yield process
    finally:
        if process.process.returncode is None:
            process.process.kill()
        await process.wait_for_exit()
