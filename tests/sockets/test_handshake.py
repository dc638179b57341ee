"""Handshakes: tickets and other credentials, and the Host header of a server without credentials."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from deadlines import DEADLINE
from servers.local_socket_server import ALPHA, BETA, LocalSocketServer, local_socket_server
from websockets.exceptions import InvalidStatus


async def refused(server: LocalSocketServer, **options: Any) -> tuple[int, str]:
    """The status and the code with which it is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with server.dial(key=None, **options):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"{}")["code"]


def ticket(server: LocalSocketServer, **headers: str) -> str:
    """The address that opens a socket for who has these headers."""
    text = f"t-{len(server.tickets.issued)}"
    server.tickets.issued[text] = headers
    return f"{server.url}?ticket={text}"


ALPHAS = {"x-api-key": "ahk_alpha"}
BOTHS = {"x-api-key": "ahk_both"}


@pytest.fixture
def keyed(server: LocalSocketServer) -> LocalSocketServer:
    """Its keys look like those of the product."""
    for name in ("alpha", "beta", "both"):
        server.authenticator.keys[f"ahk_{name}"] = server.authenticator.keys[f"{name}-key"]
    return server


@pytest.mark.parametrize("beside", [{"X-API-Key": "ahk_beta"}, {"Authorization": "Bearer ahk_beta"}])
async def test_another_credential_beside_a_ticket_contradicts_it(
    keyed: LocalSocketServer, beside: dict[str, str]
) -> None:
    assert await refused(keyed, url=ticket(keyed, **ALPHAS), headers=beside) == (400, "credentials_contradict")


async def test_the_same_credential_beside_a_ticket_or_none_is_fine(keyed: LocalSocketServer) -> None:
    for beside in ({"X-API-Key": "ahk_alpha"}, {"Authorization": "Bearer ahk_alpha"}, {"Authorization": "Basic eA=="}):
        async with keyed.dial(key=None, url=ticket(keyed, **ALPHAS), headers=beside) as socket:
            assert (await socket.ask("agent.status"))["identity"] == "key:alpha"


async def test_the_organization_beside_a_ticket_must_be_one_s_own(keyed: LocalSocketServer) -> None:
    foreign = {"X-Organization-Id": str(BETA)}
    assert await refused(keyed, url=ticket(keyed, **ALPHAS), headers=foreign) == (403, "forbidden")
    async with keyed.dial(key=None, url=ticket(keyed, **BOTHS), headers=foreign) as socket:
        assert (await socket.ask("agent.status"))["tenant_id"] == str(BETA)


async def test_a_ticket_keeps_the_organization_that_it_was_made_for(keyed: LocalSocketServer) -> None:
    made_for = {**BOTHS, "x-organization-id": str(ALPHA)}
    async with keyed.dial(key=None, url=ticket(keyed, **made_for)) as socket:
        assert (await socket.ask("agent.status"))["tenant_id"] == str(ALPHA)
        await socket.ask("agent.register", agent_id="ide")
    assert [row["tenant_id"] for row in keyed.registry.instances.values()] == [ALPHA]


async def test_credentials_that_come_later_are_for_the_organization_that_the_handshake_named(
    server: LocalSocketServer,
) -> None:
    alpha = {"X-Organization-Id": str(ALPHA)}
    async with server.dial(key=None, headers=alpha) as socket:
        assert (await socket.ask("auth", api_key="both-key"))["tenant_id"] == str(ALPHA)
    async with server.dial(key="both-key", headers=alpha) as socket:
        assert (await socket.ask("auth", api_key="both-key"))["tenant_id"] == str(ALPHA)
        assert (await socket.ask("auth", api_key="both-key", tenant_id=str(BETA)))["tenant_id"] == str(BETA)
        assert (await socket.ask("auth", api_key="both-key"))["tenant_id"] == str(BETA)


async def called(server: LocalSocketServer, host: str, key: str = "alpha-key") -> bytes:
    """The answer to a handshake that gives the server this name."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    asked = (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-API-Key: {key}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    writer.write(asked.encode())
    try:
        async with asyncio.timeout(DEADLINE):
            head = await reader.readuntil(b"\r\n\r\n")
            return head if b" 101 " in head else head + await reader.read()
    finally:
        writer.transport.abort()


async def test_a_server_without_credentials_is_called_by_no_other_machine_s_name() -> None:
    async with local_socket_server(is_open=True) as server:
        for host in ("evil.example", "evil.example:2025", "192.0.2.7", "[evil", "agenthall"):
            answer = await called(server, host)
            assert b" 403 " in answer and b'"host_refused"' in answer, host
        for host in ("localhost:2025", "[::1]:2025", "host.docker.internal"):
            assert b" 101 " in await called(server, host), host
        assert b" 400 " in await called(server, "localhost\r\nHost: evil.example")


async def test_where_credentials_are_asked_for_every_name_is_fine(server: LocalSocketServer) -> None:
    assert b" 101 " in await called(server, "hall.example")
