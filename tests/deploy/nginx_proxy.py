"""nginx with the configuration of deploy/ on other ports, and a server behind it that echoes requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from certificates import write_certificate
from langgraph_sdk.client import LangGraphClient
from live_server import DEADLINE, accepts, until

from robyn_server.supervisor.parent_death import death_signal

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
MINIMUM_VERSION = (1, 22)


def _find_nginx() -> str | None:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        return None
    output = subprocess.run([found, "-v"], capture_output=True, text=True, check=True, timeout=DEADLINE).stderr
    version = re.search(r"nginx/(\d+)\.(\d+)", output)
    return found if version and (int(version[1]), int(version[2])) >= MINIMUM_VERSION else None


NGINX = _find_nginx()
"""None without nginx, or with one that is too old for deploy/nginx.conf."""

CERTIFICATE = "/etc/letsencrypt/live/agents.example.com/"
PORT_RANGE = range(20_000, 32_000)
"""Below the ports of outgoing connections (ip_local_port_range in ip(7)), so a chosen port stays free."""

TEMP_DIRECTORIES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class NginxProxy:
    """A running nginx. `log`: its access log."""

    port: int
    plain_port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def sockets_url(self) -> str:
        return f"wss://127.0.0.1:{self.port}/ws"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "fullchain.pem"))

    @property
    def log(self) -> str:
        return (self.folder / "access.log").read_text()

    def http(self, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, verify=self.tls, timeout=DEADLINE)

    @contextlib.asynccontextmanager
    async def sdk(self, headers: Mapping[str, str]) -> AsyncIterator[LangGraphClient]:
        async with self.http(headers) as http:
            yield LangGraphClient(http)

    async def send_raw(self, text: bytes) -> bytes:
        """Send `text` on a new connection, and return the response; nothing if nginx closes without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
        try:
            async with asyncio.timeout(DEADLINE):
                writer.write(text)
                return await _read_response(reader)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return b""
        finally:
            writer.close()

    async def send_and_abort(self, text: bytes) -> None:
        """Send `text`, and abort the connection."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
        writer.write(text)
        await writer.drain()
        writer.transport.abort()


async def _read_response(reader: asyncio.StreamReader) -> bytes:
    """Read one response by its length. A server that refuses a body may read the rest of it, and close much later."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def unused_port() -> int:
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", random.choice(PORT_RANGE)))
            return int(probe.getsockname()[1])


def request_head(path: str, *headers: str, method: str = "POST") -> bytes:
    """Build the head of a raw request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: agents.example.com", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@contextlib.asynccontextmanager
async def nginx_proxy(
    web: int, sockets: int, *, port: int | None = None, changed: Mapping[str, str] | None = None
) -> AsyncIterator[NginxProxy]:
    """Run nginx in front of these two ports. `changed`: values of single directives, by name."""
    with tempfile.TemporaryDirectory(prefix="agenthall-nginx-") as name:
        proxy = NginxProxy(port or unused_port(), unused_port(), Path(name))
        write_certificate(proxy.folder)
        (proxy.folder / "nginx.conf").write_text(_configuration(proxy, web, sockets, changed or {}))
        with _run_nginx(proxy.folder) as nginx:

            def is_up() -> bool:
                assert nginx.poll() is None, (proxy.folder / "stderr").read_text()
                return bool(accepts(proxy.port))

            await until(is_up)
            yield proxy


@contextlib.contextmanager
def _run_nginx(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    assert NGINX is not None
    with (folder / "stderr").open("wb") as errors:
        nginx = subprocess.Popen(
            [NGINX, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log", "-g", "daemon off;"],
            stdin=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509  only a system call
        )
    try:
        yield nginx
    finally:
        nginx.terminate()
        nginx.wait(DEADLINE)


def _configuration(proxy: NginxProxy, web: int, sockets: int, changed: Mapping[str, str]) -> str:
    temp_paths = " ".join(f"{each}_temp_path {proxy.folder}/{each};" for each in TEMP_DIRECTORIES)
    replaced = {
        "user www-data;": "user root;" if os.geteuid() == 0 else "",
        "worker_processes auto;": "worker_processes 1;",
        "/run/nginx.pid": f"{proxy.folder}/nginx.pid",
        "/var/log/nginx/": f"{proxy.folder}/",
        "http {": f"http {{ {temp_paths}",
        "listen 80;": f"listen 127.0.0.1:{proxy.plain_port};",
        "listen [::]:80;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{proxy.port} ssl http2;",
        "listen [::]:443 ssl http2;": "",
        "127.0.0.1:2024": f"127.0.0.1:{web}",
        "127.0.0.1:2025": f"127.0.0.1:{sockets}",
        CERTIFICATE: f"{proxy.folder}/",
    }
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in replaced.items():
        assert old in text, f"deploy/nginx.conf has no {old!r} any more"
        text = text.replace(old, new)
    return _with_directives(text, changed)


def _with_directives(text: str, changed: Mapping[str, str]) -> str:
    lines = text.splitlines()
    for name, value in changed.items():
        places = [at for at, line in enumerate(lines) if line.split()[:1] == [name]]
        assert places, name
        for at in places:
            lines[at] = f"{name} {value};"
    return "\n".join(lines) + "\n"


class EchoServer:
    """An HTTP server that answers each request with its `line`, `headers` (names in lower case) and `body`.

    `?status=` sets the status.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.lines: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.split(": ", 1) for line in head[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), head
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.lines.append(head[0])
        echo = orjson.dumps({"line": head[0], "headers": headers, "body": body.decode()})
        query = re.search(r"[?]status=(\d+)", head[0])
        status = int(query[1]) if query else 200
        writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, len(echo)) + echo)
        await writer.drain()


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[EchoServer]:
    echo = EchoServer(0)
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = int(server.sockets[0].getsockname()[1])
    try:
        yield echo
    finally:
        server.close()


def echoed_request(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
