"""The principal of a socket, and closes for lost credentials, over real sockets and a fake registry."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from network.websocket_client import expect_refused
from servers.live_server import until
from servers.local_socket_server import ALPHA, BETA, DEVELOPMENT, LocalSocketServer, local_socket_server

SEED = {
    "type": 0,
    "id": "msg-123",
    "method": "agent.register",
    "params": {
        "agent_id": "ide-agent",
        "name": "VS Code Agent",
        "capabilities": ["code_completion", "debugging"],
        "auth": {"tenant_id": "00000000-0000-0000-0000-000000000001", "api_key": "dev-key"},
    },
}


async def test_the_seeds_message_registers_word_for_word() -> None:
    async with local_socket_server(is_open=True) as open_place, open_place.dial(key=None) as socket:
        answer = await socket.roundtrip(SEED)
        assert answer["type"] == 1 and answer["id"] == "msg-123"
        result = answer["result"]
        assert set(result) == {
            "registration_id",
            "manifest_id",
            "config_id",
            "instance_id",
            "epoch",
            "is_new",
            "lease_ttl_seconds",
            "heartbeat_interval_seconds",
            "resume_token",
            "message",
        }
        status = await socket.ask("agent.status")
        assert result["instance_id"] == status["connection_id"] and status["tenant_id"] == str(DEVELOPMENT)
        row = open_place.registry.instances[UUID(result["registration_id"])]
        assert row["tenant_id"] == DEVELOPMENT and row["capabilities"] == ("code_completion", "debugging")
        assert row["connection_defaults"] == {"transport": "websocket", "connection_id": status["connection_id"]}


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ({"tenant_id": str(DEVELOPMENT), "api_key": "wrong"}, 4401),
        ({"tenant_id": str(DEVELOPMENT), "token": "wrong"}, 4401),
        ({"tenant_id": str(ALPHA), "api_key": "dev-key"}, 4403),
    ],
)
async def test_an_open_server_verifies_what_a_message_claims(auth: dict[str, str], code: int) -> None:
    async with local_socket_server(is_open=True) as open_place, open_place.dial(key=None) as socket:
        error = await expect_refused(socket.ask("agent.register", agent_id="ide", auth=auth))
        assert error.code == 4001
        assert await socket.close_code() == code
        assert not open_place.registry.instances


async def test_without_a_development_key_no_key_is_right() -> None:
    async with local_socket_server(is_open=True, dev_key=None) as open_place, open_place.dial(key=None) as socket:
        await socket.send(SEED)
        assert await socket.close_code() == 4401


async def test_an_open_server_takes_a_socket_that_shows_nothing_for_local() -> None:
    async with local_socket_server(is_open=True) as open_place, open_place.dial(key=None) as socket:
        assert (await socket.ask("agent.status"))["identity"] == "local"


async def test_credentials_come_with_the_handshake(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        assert (await socket.ask("agent.status"))["identity"] == "key:alpha"


@pytest.mark.parametrize("method", ["auth", "authenticate"])
async def test_credentials_come_with_a_first_message_of_their_own(server: LocalSocketServer, method: str) -> None:
    async with server.dial(key=None) as socket:
        assert (await socket.ask(method, api_key="alpha-key"))["identity"] == "key:alpha"
        await socket.ask("agent.register", agent_id="ide")


async def test_a_socket_that_shows_no_credentials_is_told_and_closed(server: LocalSocketServer) -> None:
    async with server.dial(key=None) as socket:
        error = await expect_refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.reason) == (4001, "credentials_expected")
        assert await socket.close_code() == 4401
    assert not server.registry.instances


async def test_what_comes_after_a_refusal_is_not_looked_at(server: LocalSocketServer) -> None:
    async with server.dial(key=None) as socket:
        await socket.send({"type": 0, "id": 1, "method": "auth", "params": {"api_key": "wrong"}})
        await socket.send(
            {
                "type": 0,
                "id": 2,
                "method": "agent.register",
                "params": {"agent_id": "x", "auth": {"api_key": "alpha-key"}},
            }
        )
        assert await socket.close_code() == 4401
    assert not server.registry.instances


async def test_a_message_may_name_a_tenant_that_the_credentials_belong_to(server: LocalSocketServer) -> None:
    async with server.dial(key="both-key") as socket:
        error = await expect_refused(socket.ask("agent.register", agent_id="ide"))
        assert error.reason == "organization_required"
        made = await socket.ask("agent.register", agent_id="ide", tenant_id=str(BETA))
        assert server.registry.instances[UUID(made["registration_id"])]["tenant_id"] == BETA


async def test_naming_a_foreign_tenant_closes_the_socket(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        error = await expect_refused(socket.ask("agent.register", agent_id="ide", tenant_id=str(BETA)))
        assert (error.code, error.reason, error.field) == (4001, "forbidden", "tenant_id")
        assert await socket.close_code() == 4403
    async with server.dial(key=None) as socket:
        await expect_refused(socket.ask("auth", api_key="alpha-key", tenant_id=str(BETA)))
        assert await socket.close_code() == 4403


async def test_a_socket_never_changes_hands(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.ask("auth", api_key="alpha-key")
        assert (await expect_refused(socket.ask("auth", api_key="beta-key"))).reason == "principal_differs"
        assert await socket.close_code() == 4401


async def test_a_key_that_is_revoked_closes_its_sockets() -> None:
    async with (
        local_socket_server(recheck_seconds=0.1) as server,
        server.dial() as socket,
        server.dial(key="beta-key") as other,
    ):
        made = await socket.ask("agent.register", agent_id="ide")
        del server.authenticator.keys["alpha-key"]
        assert await socket.close_code() == 4401
        await until(lambda: server.registry.ended == [("disconnect", UUID(made["registration_id"]))])
        assert await other.ask("ping") == {"pong": True}


async def test_a_socket_that_shows_a_fresher_key_is_not_judged_by_the_older() -> None:
    async with local_socket_server(recheck_seconds=0.1) as server, server.dial() as socket:
        authenticator, last_received_at = server.authenticator, asyncio.Event()
        authenticator.keys["alpha-fresher"] = authenticator.keys["alpha-key"]
        authenticator.blocked_keys["alpha-key"] = last_received_at
        await until(lambda: "alpha-key" in authenticator.waiting)
        await socket.ask("auth", api_key="alpha-fresher")
        del authenticator.keys["alpha-key"]
        last_received_at.set()
        authenticator.blocked_keys["alpha-fresher"] = asyncio.Event()
        await until(lambda: "alpha-fresher" in authenticator.waiting)  # the rounds have gone on to the next look
        assert await socket.ask("ping") == {"pong": True}


async def test_a_principal_that_leaves_the_tenant_loses_what_it_holds_there() -> None:
    async with local_socket_server(recheck_seconds=0.1) as server, server.dial(key="both-key") as socket:
        await socket.ask("agent.register", agent_id="ide", tenant_id=str(BETA))
        keys = server.authenticator.keys
        keys["both-key"] = type(keys["both-key"])("key:both", frozenset({ALPHA}))
        assert await socket.close_code() == 4403


async def test_a_scope_is_asked_for(server: LocalSocketServer) -> None:
    async with server.dial(key="reader") as socket:
        assert "instances" in await socket.ask("agent.list")
        error = await expect_refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.reason, error.field) == (4001, "scope_missing", "agents:register")
        assert await socket.ask("ping") == {"pong": True}
