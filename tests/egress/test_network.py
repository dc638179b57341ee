"""Connections go to addresses that were checked, or are not opened."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

import httpcore
import httpx
import httpx2
import pytest
from deadlines import DEADLINE
from network.certificates import NAME, tls_proxy

from robyn_server.core.egress.allow_list import read_allow_list
from robyn_server.core.egress.policy import OPERATOR, EgressLevel, EgressPolicy
from robyn_server.egress.clients import checked_transport, guard_client, operator_client
from robyn_server.egress.network import REFUSED, CheckedNetwork

PUBLIC, LOOPBACK = EgressPolicy(EgressLevel.PUBLIC), EgressPolicy(EgressLevel.LOOPBACK)

SPELLINGS = [
    # IPv4: decimal, octal, hexadecimal, shortened, mixed
    *("127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "127.255.255.254", "2130706433", "017700000001", "0x7f000001"),
    *("0x7F000001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "0177.1", "0x7f.0x0.0x0.0x1", "0177.0x0.0.01", "127.0.0.01"),
    *("0127.0.0.1", "00000177.0.0.1", "127.0x1", "127.65536", "0", "0.0.0.0", "0x0", "00.0.0.0", "0.0"),
    # IPv6, with IPv4 in it, and with a zone
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0001]", "[::]", "[0::0]"),
    *("[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]", "[::7f00:1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]"),
    *("[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"),
    # names
    *("localhost", "LOCALHOST", "LocalHost", "localhost.", "127.0.0.1.", "2130706433."),
    # other digits and dots of Unicode, which IDNA maps to ASCII
    *("１２７.0.0.1", "127。0。0。1", "127．0．0．1", "①②⑦.⓪.⓪.①", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ"),
    # user and password
    *("8.8.8.8@127.0.0.1", "8.8.8.8:80@127.0.0.1", "example.com%40@127.0.0.1", "user:pass@localhost", "a@b@127.0.0.1"),
    # metadata and link-local
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "169.254.1.1"),
    *("100.100.100.200", "168.63.129.16", "[fd20:ce::254]", "[fe80::a9fe:a9fe]"),
    # private networks, multicast, broadcast, documentation
    *("10.0.0.1", "012.0.0.1", "167772161", "192.168.1.1", "172.16.0.1", "100.64.0.1", "[fc00::1]", "224.0.0.1"),
    *("255.255.255.255", "4294967295", "192.0.2.1", "198.18.0.1", "[2001:db8::1]", "[ff02::1]", "240.0.0.1"),
]
ALWAYS_REFUSED = ["0.0.0.0", "0", "[::]", "169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[fe80::1%25lo]"]


def test_there_are_sixty_spellings() -> None:
    assert len(set(SPELLINGS)) >= 60


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_gets_around_the_policy(server, spelling: str) -> None:
    """Numbers are resolved by the system, as for each client."""
    async with httpx.AsyncClient(transport=checked_transport(PUBLIC), timeout=DEADLINE) as client:
        with pytest.raises((httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol)) as caught:
            await client.get(f"http://{spelling}:{server.port}/")
    assert server.connections == 0
    if REFUSED not in str(caught.value):  # then httpx or the system refused the spelling
        assert isinstance(caught.value, httpx.InvalidURL) or "Errno" in str(caught.value)


@pytest.mark.parametrize("spelling", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_the_same_spellings_connect_where_loopback_is_allowed(server, spelling: str) -> None:
    async with httpx.AsyncClient(transport=checked_transport(LOOPBACK), timeout=DEADLINE) as client:
        assert (await client.get(f"http://{spelling}:{server.port}/")).text == "ok"
    assert server.connections == 1


@pytest.mark.parametrize("spelling", ALWAYS_REFUSED)
@pytest.mark.parametrize("policy", [LOOPBACK, OPERATOR], ids=["loopback", "operator"])
async def test_some_addresses_are_refused_under_every_policy(server, spelling: str, policy: EgressPolicy) -> None:
    async with httpx.AsyncClient(transport=checked_transport(policy), timeout=DEADLINE) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{spelling}:{server.port}/")
    assert server.connections == 0


async def test_a_name_that_resolves_elsewhere_the_second_time_is_checked_again(server, resolver) -> None:
    """DNS rebinding: the first answer is allowed, the second is not."""
    policy = EgressPolicy(EgressLevel.PUBLIC, read_allow_list("127.0.0.1"))
    answers = resolver(["127.0.0.1"], ["127.0.0.2"], ["10.0.0.1"], ["169.254.169.254"])
    async with httpx.AsyncClient(transport=checked_transport(policy, resolver=answers), timeout=DEADLINE) as client:
        url = f"http://rebinding.example:{server.port}/"
        assert (await client.get(url)).text == "ok"
        for _ in range(3):
            with pytest.raises(httpx.ConnectError, match="AGENTHALL_EGRESS"):
                await client.get(url)
    assert server.connections == 1 and len(answers.asked) == 4, "each connection asks once"


async def test_a_connection_goes_to_an_address_of_the_checked_answer() -> None:
    """The system is not asked for the name again: the inner network gets the address."""
    inner = RecordingNetwork()
    network = CheckedNetwork(inner, PUBLIC, answering("10.0.0.1", "192.0.2.1", "8.8.8.8"))
    assert await network.connect_tcp("name.example", 80) == "8.8.8.8"
    assert inner.connected == ["8.8.8.8"], "addresses that are refused are left out"


async def test_the_next_address_is_tried_within_the_time_of_the_client() -> None:
    inner = RecordingNetwork(unreachable={"2606:4700::1", "1.1.1.1"})
    network = CheckedNetwork(inner, PUBLIC, answering("2606:4700::1", "1.1.1.1", "8.8.8.8"))
    assert await network.connect_tcp("name.example", 80, timeout=9.0) == "8.8.8.8"
    assert inner.connected == ["2606:4700::1", "1.1.1.1", "8.8.8.8"]
    assert inner.timeouts[0] == pytest.approx(3.0, abs=0.5) and sum(inner.timeouts[:1]) <= 9.0


async def test_the_last_failure_is_reported() -> None:
    network = CheckedNetwork(RecordingNetwork(unreachable={"8.8.8.8"}), PUBLIC, answering("8.8.8.8"))
    with pytest.raises(httpcore.ConnectError, match=r"8\.8\.8\.8 is away"):
        await network.connect_tcp("name.example", 80)


async def test_a_resolver_that_hangs_ends_with_the_timeout_of_the_client() -> None:
    async def hang(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(httpcore.ConnectTimeout, match="was not resolved in time"):
        await CheckedNetwork(RecordingNetwork(), PUBLIC, hang).connect_tcp("name.example", 80, timeout=0.05)


async def test_a_name_without_addresses_is_a_failure_of_the_connection() -> None:
    async def fail(_host: str, _port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    with pytest.raises(httpcore.ConnectError, match="Name or service not known"):
        await CheckedNetwork(RecordingNetwork(), PUBLIC, fail).connect_tcp("name.example", 80)


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..example", "a" * 300])
async def test_a_name_that_cannot_exist_is_a_failure_of_the_connection(name: str) -> None:
    with pytest.raises(httpcore.ConnectError):
        await CheckedNetwork(RecordingNetwork(), PUBLIC).connect_tcp(name, 80, timeout=DEADLINE)


async def test_sockets_of_the_file_system_are_refused() -> None:
    with pytest.raises(httpcore.ConnectError, match="AGENTHALL_EGRESS"):
        await CheckedNetwork(RecordingNetwork(), OPERATOR).connect_unix_socket("/run/docker.sock")


async def test_a_refusal_is_the_same_whether_somebody_listens_or_not(server) -> None:
    texts = []
    async with httpx.AsyncClient(transport=checked_transport(PUBLIC), timeout=DEADLINE) as client:
        for port in (server.port, 1):
            with pytest.raises(httpx.ConnectError) as caught:
                await client.get(f"http://127.0.0.1:{port}/")
            texts.append(str(caught.value))
    assert texts == [REFUSED, REFUSED] and server.connections == 0


async def test_a_redirect_is_checked_as_each_connection(server) -> None:
    """Also by a client that follows redirects."""
    policy = EgressPolicy(EgressLevel.PUBLIC, read_allow_list(f"127.0.0.1:{server.port}"))
    server.answer = (
        b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.2:%d/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    server.answer %= server.port
    transport = checked_transport(policy)
    async with httpx.AsyncClient(transport=transport, timeout=DEADLINE, follow_redirects=True) as client:
        with pytest.raises(httpx.ConnectError, match="AGENTHALL_EGRESS"):
            await client.get(server.url)
    assert server.connections == 1


async def test_proxies_of_the_environment_are_not_used_for_urls_of_users(server, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    async with httpx.AsyncClient(transport=checked_transport(PUBLIC), timeout=DEADLINE) as client:
        with pytest.raises(httpx.ConnectError, match="AGENTHALL_EGRESS"):
            await client.get("http://10.0.0.1/")
    assert server.connections == 0


async def test_the_proxy_of_an_operators_url_is_checked_itself(server, monkeypatch, resolver) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://proxy.example:{server.port}")
    answers = resolver(["127.0.0.1"], ["169.254.169.254"])
    async with operator_client(DEADLINE, answers) as client:
        assert (await client.get("http://issuer.example/keys")).text == "ok"
        with pytest.raises(httpx.ConnectError, match="AGENTHALL_EGRESS"):
            await client.get("http://issuer.example/keys")
    assert set(answers.asked) == {"proxy.example"} and server.connections == 1


async def test_the_host_of_the_url_stays_the_name_for_tls(server, resolver, tmp_path: Path) -> None:
    async with tls_proxy(tmp_path, server.port) as port:
        context = ssl.create_default_context(cafile=tmp_path / "fullchain.pem")
        transport = checked_transport(LOOPBACK, context, resolver(["127.0.0.1"]))
        async with httpx.AsyncClient(transport=transport, timeout=DEADLINE) as client:
            assert (await client.get(f"https://{NAME}:{port}/")).text == "ok"
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://other.example:{port}/")


async def test_a_client_of_httpx2_is_guarded_as_one_of_httpx(server) -> None:
    async with httpx2.AsyncClient(timeout=DEADLINE) as client:
        guard_client(client, PUBLIC)
        guard_client(client, PUBLIC)
        with pytest.raises(httpx2.ConnectError, match="AGENTHALL_EGRESS"):
            await client.get(server.url)
    assert server.connections == 0


def test_a_transport_of_another_kind_cannot_be_guarded() -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    with pytest.raises(AttributeError):
        guard_client(client)


class RecordingNetwork:
    """A network of httpcore that opens nothing. A connection is the address."""

    __module__ = "httpcore"

    def __init__(self, unreachable: frozenset[str] | set[str] = frozenset()) -> None:
        self._unreachable = unreachable
        self.connected: list[str] = []
        self.timeouts: list[float] = []

    async def connect_tcp(self, host: str, _port: int, timeout: float) -> str:
        self.connected.append(host)
        self.timeouts.append(timeout)
        if host in self._unreachable:
            raise httpcore.ConnectError(f"{host} is away")
        return host


def answering(*addresses: str):
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(0)
        return addresses

    return resolve
