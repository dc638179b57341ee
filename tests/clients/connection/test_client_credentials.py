"""Credentials from arguments and from a token function, which is called again before its token expires."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from agenthall_client import AgentInstance, Client
from deadlines import DEADLINE
from registry_server import ORGANIZATION, RegistryServer
from servers.live_server import until
from servers.local_socket_server import ALPHA, LocalSocketServer, local_socket_server

from robyn_server.sockets.protocol.errors import CloseCode


def add_key(server: LocalSocketServer, key: str, left: float) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=left)
    server.authenticator.keys[key] = replace(server.authenticator.keys["alpha-key"], expires_at=ends)


def test_a_key_and_a_token_together_are_rejected() -> None:
    with pytest.raises(ValueError, match="api_key and token"):
        AgentInstance("x", api_key="a", token="b")


def test_repr_hides_the_key() -> None:
    assert "secret" not in repr(Client(api_key="secret")._credentials)


async def test_a_token_may_come_from_a_function(server: RegistryServer) -> None:
    async def token() -> str:
        return server.key

    async with server.instance("tokened", api_key=None, token=token, tenant_id=ORGANIZATION) as me:
        assert me.epoch == 1


async def test_credentials_are_renewed_on_the_same_socket() -> None:
    async with local_socket_server() as server, asyncio.timeout(DEADLINE):
        tokens = ["first", "second"]
        add_key(server, "first", 4)
        add_key(server, "second", 3600)

        async def token() -> str:
            return tokens.pop(0)

        async with AgentInstance("renewed", url=server.url, token=token, tenant_id=ALPHA) as me:
            (session,) = server.hub
            await until(lambda: session.authenticated.credentials.credential == "second")
            assert (session.authenticated.credentials.organization_id, session.socket.is_open, me.epoch) == (
                ALPHA,
                True,
                1,
            )
            assert tokens == []


async def test_a_failing_token_function_leaves_the_socket_open_until_its_credentials_expire() -> None:
    async with local_socket_server() as server, asyncio.timeout(DEADLINE):
        calls: list[str] = []
        add_key(server, "first", 3600)

        def token() -> str:
            calls.append("token")
            if len(calls) == 2:
                raise OSError("the issuer is away")
            return "first"

        async with AgentInstance("kept", url=server.url, token=token) as me:
            (session,) = server.hub
            session.notify("auth.expiring", {})
            await until(lambda: len(calls) == 2)
            me.beat_now()
            await me.update(zone="eu")
            assert list(server.hub) == [session]
            session.close_after_reply(CloseCode.CREDENTIALS, "The token has expired.")
            await until(lambda: len(calls) == 3 and me.epoch == 2)
