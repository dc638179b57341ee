"""Requests that nginx, configured by deploy/nginx.conf, passes to the server, and requests that it answers itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from network.echo_server import EchoServer, echo_server, echoed_request, request_head, unused_port
from nginx_proxy import NGINX, NginxProxy, nginx_proxy
from servers.live_server import until

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx, or none of 1.22 or newer")


@pytest.fixture(scope="module")
async def behind() -> AsyncIterator[EchoServer]:
    async with echo_server() as found:
        yield found


@pytest.fixture(scope="module")
async def glass(behind: EchoServer) -> AsyncIterator[NginxProxy]:
    """nginx with short deadlines, in front of an echo server as web and nothing as sockets."""
    deadlines = dict.fromkeys(("client_header_timeout", "client_body_timeout"), "1s")
    async with nginx_proxy(behind.port, unused_port(), changed=deadlines) as found:
        yield found


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03 no http\r\n\r\n", 400),
        (request_head("/ok", "X-Long: " + "y" * 20_000, method="GET"), 431),
    ],
    ids=["tunnel", "no host", "no http", "long header"],
)
async def test_what_is_no_fit_request_is_refused_by_nginx(
    glass: NginxProxy, behind: EchoServer, request_text: bytes, status: int
) -> None:
    before = len(behind.lines)
    assert (await glass.send_raw(request_text)).startswith(b"HTTP/1.1 %d " % status)
    assert len(behind.lines) == before


@pytest.mark.parametrize(
    "content_type", ["text/plain, multipart/form-data", "multipart/form-data, multipart/form-data"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_what_robyn_would_take_for_a_form_is_refused_by_nginx_in_the_words_of_the_server(
    glass: NginxProxy, behind: EchoServer, method: str, content_type: str
) -> None:
    """Robyn parses it before the server is called, and answers 500 where it cannot."""
    before = len(behind.lines)
    async with glass.http() as http:
        answer = await http.request(method, "/threads", content=b"--x", headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["detail"] == "multipart bodies are not accepted here; send application/json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len(behind.lines) == before


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ("multipart/form-data; boundary=x", "Multipart/Form-Data; boundary=x"),
        ("MULTIPART/form-data", "Multipart/Form-Data"),
        ("multipart/mixed; boundary=x", "multipart/mixed; boundary=x"),
        ("application/json", "application/json"),
    ],
)
async def test_a_form_is_passed_on_so_that_robyn_leaves_it_whole(glass: NginxProxy, sent: str, passed: str) -> None:
    async with glass.http() as http:
        echo = (await http.post("/own", content=b"--x", headers={"content-type": sent})).json()
    assert (echo["headers"]["content-type"], echo["body"]) == (passed, "--x")


async def test_the_server_is_told_nginxs_word_of_where_a_request_came_from(glass: NginxProxy) -> None:
    lies = {
        "x-forwarded-for": "10.9.9.9",
        "x-forwarded-proto": "gopher",
        "x-forwarded-host": "evil",
        "forwarded": "for=1",
    }
    async with glass.http(lies) as http:
        told = echoed_request(await http.get("/threads"))["headers"]
    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert told["x-forwarded-host"] == told["host"] == "127.0.0.1"
    assert "forwarded" not in told


async def test_the_server_gets_every_body_with_its_length(glass: NginxProxy) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with glass.http() as http:
        told = echoed_request(await http.post("/threads", content=pieces()))
    assert (told["body"], told["headers"]["content-length"]) == ("one two", "7")
    assert "transfer-encoding" not in told["headers"]


@pytest.mark.parametrize("given", ["", "with blanks", "x" * 129, '"}', "ümlaut".encode().decode("latin-1")])
async def test_an_id_that_is_unfit_for_a_log_is_replaced(glass: NginxProxy, given: str) -> None:
    async with glass.http() as http:
        told = echoed_request(await http.get("/ok", headers=[(b"x-request-id", given.encode("latin-1"))]))["headers"]
    assert len(told["x-request-id"]) == 32


async def test_paths_and_queries_arrive_as_they_were_sent(glass: NginxProxy) -> None:
    async with glass.http() as http:
        told = echoed_request(await http.get("/a%2Fb//c%20d?q=%26+x&q=2"))
    assert told["line"] == "GET /a%2Fb//c%20d?q=%26+x&q=2 HTTP/1.1"


async def test_upgrades_and_hop_by_hop_headers_stop_at_nginx(glass: NginxProxy) -> None:
    hops = {"upgrade": "h2c", "connection": "upgrade, http2-settings", "te": "trailers", "keep-alive": "timeout=5"}
    async with glass.http() as http:
        told = echoed_request(await http.get("/ok", headers=hops))["headers"]
    assert not {"upgrade", "connection", "te", "keep-alive"} & set(told)


async def test_connections_to_the_server_are_kept(glass: NginxProxy, behind: EchoServer) -> None:
    async with glass.http() as http:
        await http.get("/ok")
        before = behind.connections
        for _ in range(5):
            echoed_request(await http.get("/ok"))
    assert behind.connections == before


@pytest.mark.parametrize(
    "begun",
    [b"POST /late HTTP/1.1\r\nHost: x\r\n", request_head("/late", "Content-Length: 100") + b"a", b"POST /la"],
    ids=["headers", "body", "line"],
)
async def test_a_request_that_does_not_go_on_is_given_up(glass: NginxProxy, behind: EchoServer, begun: bytes) -> None:
    answer = await glass.send_raw(begun)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    assert not [line for line in behind.lines if "/late" in line]


async def test_a_body_that_is_cut_off_never_reaches_the_server(glass: NginxProxy, behind: EchoServer) -> None:
    await glass.send_and_abort(request_head("/cut-off", "Content-Length: 100") + b"abc")
    await until(lambda: "/cut-off" in glass.log)
    assert not [line for line in behind.lines if "/cut-off" in line]


async def test_a_client_that_sends_too_much_is_told_so_and_when_to_come_back(behind: EchoServer) -> None:
    once = {
        "limit_req_zone": "$binary_remote_addr zone=agenthall_requests:1m rate=1r/m",
        "limit_req": "zone=agenthall_requests",
    }
    async with nginx_proxy(behind.port, unused_port(), changed=once) as strict, strict.http() as http:
        assert (await http.get("/ok")).status_code == 200
        before = len(behind.lines)
        for path in ("/ok", "/ws", "/threads"):
            answer = await http.get(path, headers={"x-request-id": "one-too-many"})
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert answer.headers["content-type"] == "application/problem+json"
            assert (answer.json()["code"], answer.json()["request_id"]) == ("too_many", "one-too-many")
        assert len(behind.lines) == before


async def test_a_client_with_too_many_connections_is_refused_until_one_ends(behind: EchoServer) -> None:
    changed = {"limit_conn": "agenthall_connections 1", "client_body_timeout": "60s"}
    async with nginx_proxy(behind.port, unused_port(), changed=changed) as strict, strict.http() as http:
        # nginx counts a connection from the end of its headers: the first one waits for its body.
        _, writer = await asyncio.open_connection("127.0.0.1", strict.port, ssl=strict.tls)
        writer.write(request_head("/held", "Content-Length: 100"))

        async def status() -> int:
            return (await http.get("/ok")).status_code

        await until_status(status, 429)
        writer.transport.abort()
        await until_status(status, 200)


async def until_status(status: Callable[[], Awaitable[int]], wanted: int) -> None:
    async def is_wanted() -> bool:
        return await status() == wanted

    await until(is_wanted)


async def test_a_server_that_is_away_is_a_problem_that_says_so(glass: NginxProxy) -> None:
    async with glass.http() as http:
        answer = await http.get("/ws", headers={"x-request-id": "nobody-home"})
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["request_id"]) == ("unavailable", "nobody-home")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [400, 413, 502, 503, 504])
async def test_the_servers_own_refusals_pass_as_they_are(
    glass: NginxProxy, behind: EchoServer, method: str, status: int
) -> None:
    path = f"/{method}?status={status}"
    async with glass.http() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["line"]) == (status, f"{method} {path} HTTP/1.1")
    assert len([line for line in behind.lines if path in line]) == 1
