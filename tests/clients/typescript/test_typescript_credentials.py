"""A token function of the TypeScript client, which is called again before its token expires."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from deadlines import DEADLINE
from node_client import NodeClient
from servers.live_server import until
from servers.local_socket_server import ALPHA, LocalSocketServer, local_socket_server

from robyn_server.sockets.protocol.errors import CloseCode

Start = Callable[..., Awaitable[NodeClient]]


def add_key(server: LocalSocketServer, key: str, left: float) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=left)
    server.authenticator.keys[key] = replace(server.authenticator.keys["alpha-key"], expires_at=ends)


async def test_credentials_are_renewed_on_the_same_socket(opened: Start) -> None:
    async with local_socket_server() as server, asyncio.timeout(DEADLINE):
        add_key(server, "first", 10)
        add_key(server, "second", 3600)
        tokens = {"token": ["first", "second"]}
        me = await opened("ts-renewed", url=server.url, apiKey=None, tenantId=str(ALPHA), callbacks=tokens)
        (session,) = server.hub
        await until(lambda: session.authenticated.credentials.credential == "second")
        assert (session.authenticated.credentials.organization_id, session.socket.is_open) == (ALPHA, True)
        assert await me.call("epoch") == 1 and me.find("called") == ["token", "token"]


async def test_a_failing_token_function_leaves_the_socket_open_until_its_credentials_expire(opened: Start) -> None:
    async with local_socket_server() as server, asyncio.timeout(DEADLINE):
        add_key(server, "first", 3600)
        tokens = {"token": ["first", {"throws": "the issuer is away"}, "first"]}
        me = await opened("ts-kept", url=server.url, apiKey=None, callbacks=tokens)
        (session,) = server.hub
        session.notify("auth.expiring", {})
        await until(lambda: me.find("logged"))
        await me.call("beatNow")
        await me.call("update", {"zone": "eu"})
        assert list(server.hub) == [session]
        session.close_after_reply(CloseCode.CREDENTIALS, "The token has expired.")
        await me.reached(2)
        assert me.find("called") == ["token"] * 3


async def test_an_order_of_the_server_drains_the_instance(opened: Start) -> None:
    async with local_socket_server() as server, asyncio.timeout(DEADLINE):
        me = await opened("ts-told", url=server.url, apiKey="alpha-key")
        (session,) = server.hub
        about = {"registration_id": await me.call("registrationId")}
        session.notify("agent.draining", {**about, "epoch": 0, "message": "for an earlier epoch"})
        await me.call("update", {"zone": "eu"})
        assert await me.call("state") == "active"
        session.notify("agent.draining", {**about, "epoch": 1, "message": "by an operator"})
        await me.call("untilDraining")
        assert await me.call("state") == "draining"
