"""Keys, tokens and tickets of the sockets process as it is run, with AUTH_MODE=jwt: which end, and what they allow."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from databases import fresh_database
from network.websocket_client import Refused, WebSocketClient, dial
from servers.live_server import LiveServer, live_server
from servers.sockets_process import SocketsProcess
from users.demo_users import HARBOUR, SECRET, bearer, token

from robyn_server.core.access.principal import LOCAL
from robyn_server.identity.api_keys import ApiKeyService, KeyRequest
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.postgres.pools import Role, open_pool


@dataclass
class Guarded:
    server: LiveServer
    sockets: SocketsProcess
    keys: ApiKeyService

    async def key(self, **request: object) -> str:
        made = await self.keys.create(LOCAL, KeyRequest(frozenset({UUID(HARBOUR)}), **request))  # type: ignore[arg-type]
        return made.text.text

    @asynccontextmanager
    async def dial(self, **headers: str) -> AsyncIterator[WebSocketClient]:
        async with dial(self.sockets.url, headers=headers) as socket:
            yield socket


@pytest.fixture(scope="module")
async def place(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with fresh_database(postgres, template) as url, live_server(url, workers=0, **settings) as server:
        sockets = SocketsProcess(server.environment, tmp_path_factory.mktemp("sockets") / "sockets.log")
        pool = await open_pool(url, Role.SYSTEM, size=1, name="test")
        try:
            await sockets.ready()
            yield Guarded(server, sockets, ApiKeyService(ApiKeys(pool)))
        finally:
            await pool.close()
            sockets.kill()
            sockets.popen.wait()


async def test_a_socket_outlives_its_token_with_a_fresher_one_and_not_without(place: Guarded) -> None:
    ends = int(time.time()) + 10
    fresher = token("ada", HARBOUR, expires_in=3600)
    async with (
        place.dial(**bearer("ada", HARBOUR, exp=ends)) as renewed,
        place.dial(**bearer("ada", HARBOUR, exp=ends)) as left,
    ):
        made = await renewed.ask("agent.register", agent_id="tokened")
        await left.ask("ping")  # a socket without a first message is closed after ten seconds
        for socket in (renewed, left):
            told = await socket.wait_for_notification("auth.expiring")
            assert datetime.fromisoformat(told["expires_at"]).timestamp() == ends
        assert datetime.fromisoformat((await renewed.ask("auth", token=fresher))["expires_at"]).timestamp() > ends
        assert await left.close_code() == 4401
        assert time.time() >= ends and left.socket.close_reason == "The token has expired."
        assert (await renewed.ask("agent.heartbeat"))["epoch"] == made["epoch"]


async def test_a_key_that_ends_closes_its_socket_long_before_the_next_look(place: Guarded) -> None:
    key = await place.key(lifetime=timedelta(seconds=8))
    async with place.dial(**{"x-api-key": key}) as socket:
        ends = datetime.fromisoformat((await socket.ask("agent.status"))["expires_at"])
        assert ends - datetime.now(UTC) < timedelta(seconds=8)
        assert await socket.close_code() == 4401
        assert socket.socket.close_reason == "The API key has expired."
        assert ends - timedelta(seconds=0.5) < datetime.now(UTC) < ends + timedelta(seconds=10)


async def test_a_key_without_an_end_says_so(place: Guarded) -> None:
    async with place.dial(**{"x-api-key": await place.key()}) as socket:
        assert (await socket.ask("agent.status"))["expires_at"] is None


@pytest.mark.parametrize("scope", ["agents:read", "agents:register", "agents:write"])
async def test_a_key_with_any_scope_of_agents_gets_a_ticket_that_may_no_more(place: Guarded, scope: str) -> None:
    key = await place.key(scopes=(scope,))
    async with place.server.http(**{"X-API-Key": key}) as http:
        ticket = (await http.post("/agents/tickets")).raise_for_status().json()["ticket"]
    async with dial(f"{place.sockets.url}?ticket={ticket}") as socket:
        asked = {"agents:register": ("agent.register", {"agent_id": "t"}), "agents:read": ("agent.list", {})}
        for needed, (method, params) in asked.items():
            if needed == scope:
                await socket.ask(method, **params)
                continue
            with pytest.raises(Refused) as caught:
                await socket.ask(method, **params)
            assert (caught.value.reason, caught.value.field) == ("scope_missing", needed)


async def test_a_key_for_other_things_gets_no_ticket(place: Guarded) -> None:
    async with place.server.http(**{"X-API-Key": await place.key(scopes=("runs",))}) as http:
        answer = await http.post("/agents/tickets")
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (403, "scope_missing", "agents:read")


async def test_an_epoch_that_has_never_been_must_register_whatever_it_says(place: Guarded) -> None:
    async with place.dial(**bearer("ada", HARBOUR)) as socket:
        made = await socket.ask("agent.register", agent_id="ahead")
        which = {"registration_id": made["registration_id"], "epoch": made["epoch"] + 1}
        for method in ("agent.heartbeat", "agent.drain", "agent.deregister"):
            with pytest.raises(Refused) as caught:
                await socket.ask(method, **which)
            assert (caught.value.code, caught.value.reason) == (4008, "must_register")
        assert (await socket.ask("agent.heartbeat"))["epoch"] == made["epoch"]
