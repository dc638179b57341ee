"""What nginx, configured by deploy/nginx.conf, lets through to the server behind it, and what it answers itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from live_server import until
from proxied import NGINX, Mirror, Origin, ask, mirror, origin, quiet_port, shown

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx, or none of 1.22 or newer")


@pytest.fixture(scope="module")
async def behind() -> AsyncIterator[Mirror]:
    async with mirror() as found:
        yield found


@pytest.fixture(scope="module")
async def glass(behind: Mirror) -> AsyncIterator[Origin]:
    """nginx with short deadlines, in front of a mirror as web and nothing as sockets."""
    deadlines = dict.fromkeys(("client_header_timeout", "client_body_timeout"), "1s")
    async with origin(behind.port, quiet_port(), changed=deadlines) as found:
        yield found


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03 no http\r\n\r\n", 400),
        (ask("/ok", "X-Long: " + "y" * 20_000, method="GET"), 431),
    ],
    ids=["tunnel", "no host", "no http", "long header"],
)
async def test_what_is_no_fit_request_is_refused_by_nginx(
    glass: Origin, behind: Mirror, request_text: bytes, status: int
) -> None:
    before = len(behind.lines)
    assert (await glass.say(request_text)).startswith(b"HTTP/1.1 %d " % status)
    assert len(behind.lines) == before


async def test_the_server_is_told_nginxs_word_of_where_a_request_came_from(glass: Origin) -> None:
    lies = {
        "x-forwarded-for": "10.9.9.9",
        "x-forwarded-proto": "gopher",
        "x-forwarded-host": "evil",
        "forwarded": "for=1",
    }
    async with glass.http(lies) as http:
        told = shown(await http.get("/threads"))["headers"]
    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert told["x-forwarded-host"] == told["host"] == "127.0.0.1"
    assert "forwarded" not in told


async def test_the_server_gets_every_body_with_its_length(glass: Origin) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with glass.http() as http:
        told = shown(await http.post("/threads", content=pieces()))
    assert (told["body"], told["headers"]["content-length"]) == ("one two", "7")
    assert "transfer-encoding" not in told["headers"]


@pytest.mark.parametrize("given", ["", "with blanks", "x" * 129, '"}', "ümlaut".encode().decode("latin-1")])
async def test_an_id_that_is_unfit_for_a_log_is_replaced(glass: Origin, given: str) -> None:
    async with glass.http() as http:
        told = shown(await http.get("/ok", headers=[(b"x-request-id", given.encode("latin-1"))]))["headers"]
    assert len(told["x-request-id"]) == 32


async def test_paths_and_queries_arrive_as_they_were_sent(glass: Origin) -> None:
    async with glass.http() as http:
        told = shown(await http.get("/a%2Fb//c%20d?q=%26+x&q=2"))
    assert told["line"] == "GET /a%2Fb//c%20d?q=%26+x&q=2 HTTP/1.1"


async def test_upgrades_and_hop_by_hop_headers_stop_at_nginx(glass: Origin) -> None:
    hops = {"upgrade": "h2c", "connection": "upgrade, http2-settings", "te": "trailers", "keep-alive": "timeout=5"}
    async with glass.http() as http:
        told = shown(await http.get("/ok", headers=hops))["headers"]
    assert not {"upgrade", "connection", "te", "keep-alive"} & set(told)


async def test_connections_to_the_server_are_kept(glass: Origin, behind: Mirror) -> None:
    async with glass.http() as http:
        await http.get("/ok")
        before = behind.connections
        for _ in range(5):
            shown(await http.get("/ok"))
    assert behind.connections == before


@pytest.mark.parametrize(
    "begun",
    [b"POST /late HTTP/1.1\r\nHost: x\r\n", ask("/late", "Content-Length: 100") + b"a", b"POST /la"],
    ids=["headers", "body", "line"],
)
async def test_a_request_that_does_not_go_on_is_given_up(glass: Origin, behind: Mirror, begun: bytes) -> None:
    answer = await glass.say(begun)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    assert not [line for line in behind.lines if "/late" in line]


async def test_a_body_that_is_cut_off_never_reaches_the_server(glass: Origin, behind: Mirror) -> None:
    await glass.break_off(ask("/cut-off", "Content-Length: 100") + b"abc")
    await until(lambda: "/cut-off" in glass.log)
    assert not [line for line in behind.lines if "/cut-off" in line]


async def test_a_server_that_is_away_is_a_problem_that_says_so(glass: Origin) -> None:
    async with glass.http() as http:
        answer = await http.get("/ws", headers={"x-request-id": "nobody-home"})
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["request_id"]) == ("unavailable", "nobody-home")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [400, 413, 502, 503, 504])
async def test_the_servers_own_refusals_pass_as_they_are(
    glass: Origin, behind: Mirror, method: str, status: int
) -> None:
    path = f"/{method}?status={status}"
    async with glass.http() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["line"]) == (status, f"{method} {path} HTTP/1.1")
    assert len([line for line in behind.lines if path in line]) == 1
