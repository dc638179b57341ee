"""Requests that Caddy passes to the server, and requests that it answers itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
from deadlines import DEADLINE
from network.chunked_bodies import MALFORMED, VALID
from network.echo_server import EchoServer, echo_server, echoed_request, read_response, request_head, unused_port
from servers.caddy_proxy import LIMIT, CaddyProxy, caddy_proxy, send_endless
from servers.live_server import until

pytestmark = pytest.mark.server

NAME = "agents.example.com"


@pytest.fixture(scope="module")
async def behind() -> AsyncIterator[EchoServer]:
    async with echo_server() as found:
        yield found


@pytest.fixture(scope="module")
async def glass(behind: EchoServer) -> AsyncIterator[CaddyProxy]:
    """Caddy in front of an echo server as web and nothing as sockets."""
    async with caddy_proxy(behind.port, unused_port()) as found:
        yield found


def chunked(path: str, body: bytes, *headers: str) -> bytes:
    return request_head(path, "Transfer-Encoding: chunked", *headers) + body


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_chunk_is_400_and_never_reaches_the_server(
    glass: CaddyProxy, behind: EchoServer, name: str
) -> None:
    answer = await glass.send_raw(chunked(f"/{name}", MALFORMED[name], "X-Request-Id: poison"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer and b'"request_id": "poison"' in answer
    assert not [line for line in behind.lines if f"/{name}" in line]


@pytest.mark.parametrize("name", VALID)
async def test_a_chunked_body_arrives_with_its_length_and_without_trailers(glass: CaddyProxy, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", glass.port)
    writer.write(chunked("/threads", VALID[name], "Trailer: X", "TE: trailers"))
    answer = await read_response(reader)
    writer.close()
    echo = httpx.Response(200, content=answer.partition(b"\r\n\r\n")[2]).json()
    assert (echo["body"], echo["headers"]["content-length"]) == ("{}", "2")
    assert not {"transfer-encoding", "trailer", "te", "x"} & set(echo["headers"])


@pytest.mark.parametrize("begun", [b"5\r\nab", b"", b"2\r\n{}\r\n"], ids=["in a chunk", "before", "between"])
async def test_a_chunked_body_that_breaks_off_never_reaches_the_server(
    glass: CaddyProxy, behind: EchoServer, begun: bytes
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", glass.port)
    writer.write(chunked("/cut-off", begun))
    await writer.drain()
    writer.transport.abort()
    await _passes(glass)
    assert not [line for line in behind.lines if "/cut-off" in line]


async def _passes(glass: CaddyProxy) -> None:
    async with glass.http() as http:
        assert (await http.get("/ok")).status_code == 200


async def test_a_length_beside_chunks_is_dropped_and_nothing_may_follow(glass: CaddyProxy, behind: EchoServer) -> None:
    """RFC 9112, section 6.1. The bytes after the last chunk are no second request."""
    head = b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", glass.port)
    writer.write(head + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()  # until it is closed
    writer.close()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [line for line in behind.lines if "/first" in line]
    assert not [line for line in behind.lines if "/smuggled" in line]


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nabcde", 400),
        (b"GET /ok HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03 no http\r\n\r\n", 400),
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 400),
        (request_head("/x", "X-Long: " + "y" * 100_000, method="GET"), 431),
        (request_head("/x" + "y" * 100_000, method="GET"), 431),
        (request_head("/x", *(f"X-{number}: {'y' * 100}" for number in range(1000)), method="GET"), 431),
    ],
    ids=["two lengths", "no chunks", "blank", "no host", "no http", "tunnel", "long header", "long line", "many"],
)
async def test_a_request_that_is_no_http_is_refused(
    glass: CaddyProxy, behind: EchoServer, request_text: bytes, status: int
) -> None:
    before = len(behind.lines)
    assert (await _send_all(glass.port, request_text)).startswith(b"HTTP/1.1 %d " % status)
    assert len(behind.lines) == before


async def _send_all(port: int, text: bytes) -> bytes:
    """Return an answer that may have no length, without its body; nothing if the connection ends without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = b""
    try:
        while b"\r\n\r\n" not in answer and (part := await reader.read(65536)):
            answer += part
    except ConnectionResetError:
        pass
    writer.close()
    return answer


async def test_a_body_over_the_limit_is_413_before_it_is_sent(glass: CaddyProxy) -> None:
    answer = await glass.send_raw(request_head("/threads", f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "too_large"' in answer


async def test_an_endless_body_is_ended_and_never_reaches_the_server(glass: CaddyProxy, behind: EchoServer) -> None:
    answer = await send_endless("127.0.0.1", glass.port, "/endless")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert not [line for line in behind.lines if "/endless" in line]


@pytest.mark.parametrize("framing", ["chunked", "with a length"])
async def test_a_body_that_stops_is_refused_and_never_reaches_the_server(behind: EchoServer, framing: str) -> None:
    """Also where it is over the limit already. Caddy's status for it is 499, which no error route changes."""
    length = LIMIT + 1
    head = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {LIMIT}"
    begin = b"%x\r\n" % length + b" " * length if framing == "chunked" else b" " * (LIMIT // 2)
    async with caddy_proxy(behind.port, unused_port(), deadline="1s") as proxy:
        answer = await proxy.send_raw(request_head("/stops", head) + begin)
    assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 413 ", b"HTTP/1.1 499 "))
    assert not [line for line in behind.lines if "/stops" in line]


async def test_a_body_of_just_the_limit_reaches_the_server(glass: CaddyProxy) -> None:
    async with glass.http() as http:
        echo = echoed_request(await http.post("/whole", content=b" " * LIMIT))
    assert echo["headers"]["content-length"] == str(LIMIT)


@pytest.mark.parametrize(
    "content_type", ["text/plain, multipart/form-data", "multipart/form-data, multipart/form-data"]
)
async def test_a_form_that_robyn_would_take_apart_is_refused(
    glass: CaddyProxy, behind: EchoServer, content_type: str
) -> None:
    before = len(behind.lines)
    async with glass.http() as http:
        answer = await http.post("/threads", content=b"--x", headers={"content-type": content_type})
    assert answer.status_code == 400
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
async def test_a_form_is_passed_on_so_that_robyn_leaves_it_whole(glass: CaddyProxy, sent: str, passed: str) -> None:
    async with glass.http() as http:
        echo = echoed_request(await http.post("/own", content=b"--x", headers={"content-type": sent}))
    assert (echo["headers"]["content-type"], echo["body"]) == (passed, "--x")


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_the_server_is_told_the_proxys_word_of_where_a_request_came_from(
    glass: CaddyProxy, is_chunked: bool
) -> None:
    lies = {
        "x-forwarded-for": "10.9.9.9",
        "x-forwarded-proto": "gopher",
        "x-forwarded-host": "evil",
        "x-real-ip": "10.9.9.9",
        "forwarded": "for=10.9.9.9",
    }
    async with glass.http(lies) as http:
        echo = echoed_request(await http.post("/threads", content=_pieces() if is_chunked else b"one two"))
    told = echo["headers"]
    assert echo["body"] == "one two"
    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert told["x-forwarded-host"] == told["host"] == f"127.0.0.1:{glass.port}"
    assert not {"forwarded", "x-real-ip"} & set(told)


async def _pieces() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"


@pytest.mark.parametrize(("given", "is_kept"), [("from-afar-1", True), ("with blanks", False), ("x" * 129, False)])
async def test_an_id_that_is_fit_for_a_log_is_kept(glass: CaddyProxy, given: str, is_kept: bool) -> None:
    async with glass.http() as http:
        told = echoed_request(await http.get("/ok", headers={"x-request-id": given}))["headers"]["x-request-id"]
    assert (told == given) is is_kept
    assert told


async def test_paths_and_queries_arrive_as_they_were_sent(glass: CaddyProxy) -> None:
    answer = await glass.send_raw(request_head("/a%2Fb//c%20d?q=%26+x&q=2", method="GET"))
    assert b"GET /a%2Fb//c%20d?q=%26+x&q=2 HTTP/1.1" in answer


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
async def test_an_upgrade_elsewhere_than_ws_is_a_plain_request(glass: CaddyProxy, upgrade: str) -> None:
    hops = {"upgrade": upgrade, "connection": "upgrade", "te": "trailers", "keep-alive": "timeout=5"}
    async with glass.http() as http:
        told = echoed_request(await http.get("/ok", headers=hops))["headers"]
    assert not {"upgrade", "connection", "te", "keep-alive"} & set(told)


async def test_connections_to_the_server_are_kept(glass: CaddyProxy, behind: EchoServer) -> None:
    async with glass.http() as http:
        await http.get("/ok")
        before = behind.connections
        for _ in range(5):
            echoed_request(await http.get("/ok"))
    assert behind.connections <= before + 1  # one may have been idle too long on a busy machine


async def test_a_server_that_is_away_is_a_problem_that_says_so(glass: CaddyProxy) -> None:
    async with glass.http() as http:
        answer = await http.get("/ws", headers={"x-request-id": "nobody-home"})
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["request_id"]) == ("unavailable", "nobody-home")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("status", [400, 413, 502, 503, 504])
async def test_the_servers_own_refusals_pass_as_they_are(glass: CaddyProxy, behind: EchoServer, status: int) -> None:
    path = f"/refused?status={status}"
    async with glass.http() as http:
        answer = await http.post(path)
    assert (answer.status_code, answer.json()["line"]) == (status, f"POST {path} HTTP/1.1")
    assert len([line for line in behind.lines if path in line]) == 1


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /late HTTP/1.1\r\nHost: x\r\n",
        request_head("/late", "Content-Length: 100") + b"a",
        request_head("/late", "Transfer-Encoding: chunked") + b"5\r\nab",
        b"POST /la",
    ],
    ids=["headers", "body", "chunks", "line"],
)
async def test_a_request_that_does_not_go_on_is_given_up(behind: EchoServer, begun: bytes) -> None:
    async with caddy_proxy(behind.port, unused_port(), deadline="1s") as hasty:
        answer = await _send_all(hasty.port, begun)
    # 400: half a line is no HTTP. 499: Caddy's word for a client that is gone. 502: it has nothing to pass on.
    assert answer == b"" or answer[9:12] in {b"400", b"408", b"499", b"502"}
    assert not [line for line in behind.lines if "/late" in line]


async def test_a_reader_that_does_not_read_loses_its_connection(behind: EchoServer) -> None:
    echoed = request_head("/large", f"Content-Length: {LIMIT}").replace(b"close", b"keep-alive") + b"x" * LIMIT
    async with caddy_proxy(behind.port, unused_port(), deadline="1s") as hasty:
        _, writer = await asyncio.open_connection("127.0.0.1", hasty.port, limit=1024)
        with pytest.raises(ConnectionError):
            await _send_for_ever(writer, echoed)
        writer.transport.abort()


async def _send_for_ever(writer: asyncio.StreamWriter, request: bytes) -> None:
    """The client's own buffers fill with answers, and then the proxy's."""
    async with asyncio.timeout(DEADLINE):
        while True:
            writer.write(request)
            await writer.drain()


async def test_nothing_is_written_outside_its_folder_and_nobody_can_administer_it(glass: CaddyProxy) -> None:
    assert sorted(path.name for path in glass.folder.iterdir()) == ["caddy.json", "log", "state"]
    config = (glass.folder / "caddy.json").read_text()
    assert '"admin": {"disabled": true' in config


async def test_https_with_a_certificate_for_the_domain(behind: EchoServer) -> None:
    redirect = unused_port()
    given = {"domain": NAME, "certificates": "internal", "redirect_port": redirect}
    async with caddy_proxy(behind.port, unused_port(), **given) as proxy:
        await _certified(proxy)
        assert await _get_over_tls(proxy, "other.example.com") == 421
        with pytest.raises(ssl.SSLError):
            await _get_over_tls(proxy, "other.example.com", server_name="other.example.com")
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"http://127.0.0.1:{redirect}/ok?q=1")
        assert (answer.status_code, answer.headers["location"]) == (308, f"https://{NAME}:{proxy.port}/ok?q=1")


async def _certified(proxy: CaddyProxy) -> None:
    """Until it has a certificate. Handshakes fail before."""

    async def is_served() -> bool:
        with contextlib.suppress(ssl.SSLError, OSError):
            return await _get_over_tls(proxy, NAME) == 200
        return False

    await until(is_served)


async def _get_over_tls(proxy: CaddyProxy, host: str, *, server_name: str = NAME) -> int:
    context = proxy.tls()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context, server_hostname=server_name)
    writer.write(f"GET /ok HTTP/1.1\r\nHost: {host}:{proxy.port}\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.transport.abort()
    return status


async def test_http2_is_offered_over_tls(behind: EchoServer) -> None:
    async with caddy_proxy(behind.port, unused_port(), domain=NAME, certificates="internal") as proxy:
        await _certified(proxy)
        context = proxy.tls()
        context.set_alpn_protocols(["h2", "http/1.1"])
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context, server_hostname=NAME)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.transport.abort()
