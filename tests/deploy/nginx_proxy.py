"""nginx with the configuration of deploy/ on other ports, and a server behind it that echoes requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from langgraph_sdk.client import LangGraphClient
from network.certificates import write_certificate
from network.echo_server import read_response, unused_port
from servers.live_server import DEADLINE, accepts, until

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
                return await read_response(reader)
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
