"""The sockets process as it is run: two of them on one database beside a web process, API keys, tickets, and one more
that is open."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from databases import fresh_database
from network.websocket_client import dial, expect_refused
from servers.live_server import Process, free_port, live_server, until
from servers.sockets_process import SocketsProcess
from users.demo_users import HARBOUR, MEADOW
from websockets.exceptions import InvalidStatus

from robyn_server.core.access.principal import LOCAL
from robyn_server.identity.api_keys import ApiKeyService
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.postgres.pools import Role, open_pool

from .documented_conversations import conversations, fill_placeholders, matches, next_message
from .sockets_deployment import SocketsDeployment

DEVELOPMENT = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module")
async def deployment(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SocketsDeployment]:
    folder = tmp_path_factory.mktemp("sockets")
    settings = {"AUTH_MODE": "keys", "AGENTHALL_SOCKETS_RECHECK": "0.3"}
    async with fresh_database(postgres, template) as url, contextlib.AsyncExitStack() as stack:
        sockets_port = free_port()
        server = await stack.enter_async_context(live_server(url, AGENTHALL_SOCKETS_PORT=str(sockets_port), **settings))
        dev = {"AUTH_MODE": "none", "AGENTHALL_DEV_TENANT": DEVELOPMENT, "AGENTHALL_DEV_KEY": "dev-key"}
        three = [
            SocketsProcess(server.environment, folder / "one.log"),
            SocketsProcess(server.environment, folder / "other.log"),
            SocketsProcess(server.environment, folder / "open.log", **dev),
        ]
        for each in three:
            stack.callback(each.popen.wait)
            stack.callback(each.kill)
        pool = await open_pool(url, Role.SYSTEM, size=2, name="test")
        stack.push_async_callback(pool.close)
        service = ApiKeyService(ApiKeys(pool))
        found = SocketsDeployment(server, *three, service, pool, "", "")  # type: ignore[arg-type]
        found.harbour_key = (await found.issue_key(HARBOUR)).text.text
        found.meadow_key = (await found.issue_key(MEADOW)).text.text
        await asyncio.gather(*(each.ready() for each in three))
        yield found


async def test_info_says_where_the_sockets_are(deployment: SocketsDeployment) -> None:
    async with deployment.server.http() as http:
        info = (await http.get("/info")).json()
    assert info["sockets_url"] == f"ws://127.0.0.1:{deployment.server.environment['AGENTHALL_SOCKETS_PORT']}/ws"


async def test_the_seeds_message_registers_word_for_word(deployment: SocketsDeployment) -> None:
    async with dial(deployment.open.url) as socket:
        answer = await socket.roundtrip(
            '{"type": 0, "id": "msg-123", "method": "agent.register", "params": {"agent_id": "ide-agent", "name": "VS Code Agent",'
            ' "capabilities": ["code_completion", "debugging"],'
            f' "auth": {{"tenant_id": "{DEVELOPMENT}", "api_key": "dev-key"}}}}}}'
        )
        assert (answer["type"], answer["id"]) == (1, "msg-123")
        result = answer["result"]
        assert result["is_new"] is True and result["lease_ttl_seconds"] > result["heartbeat_interval_seconds"]
        assert (await deployment.get_status(result["registration_id"]))["registration_status"] == "active"
    await until(lambda: _is(deployment, result["registration_id"], "inactive"))


async def _is(deployment: SocketsDeployment, registration_id: str, status: str) -> bool:
    return bool((await deployment.get_status(registration_id))["registration_status"] == status)


async def test_every_method_on_the_real_registry(deployment: SocketsDeployment) -> None:
    async with deployment.dial() as socket:
        made = await socket.ask(
            "agent.register",
            agent_id="every-method",
            instance_id="m-1",
            capabilities=["search", "code"],
            tags=["blue"],
            zone="eu",
            version="1.2.3",
            agent_type="bot",
            runtime_config={"deep": {"er": [1, 2]}},
            connection_details={"host": "somewhere"},
        )
        beat = await socket.ask("agent.heartbeat", health="degraded", load={"workload": 2}, metrics={"cpu": 0.5})
        assert beat["epoch"] == made["epoch"] and beat["heartbeat_interval_seconds"] > 0
        seen = await socket.ask("agent.status", registration_id=made["registration_id"])
        assert (seen["health_status"], seen["workload"], seen["instance_id"]) == ("degraded", 2, "m-1")
        assert seen["connection_details"] | {"connection_id": ""} == {
            "transport": "websocket",
            "connection_id": "",
            "host": "somewhere",
        }
        for wanted in ({"capabilities": ["code", "search"]}, {"version": ">=1.2,<2"}, {"tags": ["blue"], "zone": "eu"}):
            found = await socket.ask("agent.discover", agent_id="every-method", **wanted)
            assert [each["registration_id"] for each in found["instances"]] == [made["registration_id"]]
        assert (await socket.ask("agent.discover", capabilities=["absent"]))["instances"] == []
        assert (await socket.ask("agent.update", zone="us"))["zone"] == "us"
        assert (await socket.ask("agent.drain", reason="update"))["registration_status"] == "draining"
        assert (await socket.ask("agent.discover", agent_id="every-method"))["instances"] == []
        listed = await socket.ask("agent.list", agent_id="every-method", status="draining")
        assert [each["instance_id"] for each in listed["instances"]] == ["m-1"]
        await socket.ask("agent.deregister", reason="done")
        assert await _is(deployment, made["registration_id"], "inactive")


async def test_the_same_idempotency_key_does_not_burn_an_epoch(deployment: SocketsDeployment) -> None:
    async with deployment.dial() as socket:
        asked = {"agent_id": "careful", "instance_id": "c-1", "idempotency_key": "k-1"}
        first, second = await socket.ask("agent.register", **asked), await socket.ask("agent.register", **asked)
        assert (first["epoch"], first["is_new"]) == (second["epoch"], second["is_new"])


async def test_a_wrong_key_is_401_in_the_handshake_and_4401_in_a_message(deployment: SocketsDeployment) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with deployment.dial(key="ahk_wrong"):
            pass
    assert caught.value.response.status_code == 401
    async with dial(deployment.one.url) as socket:
        assert (await expect_refused(socket.ask("auth", api_key="ahk_wrong"))).code == 4001
        assert await socket.close_code() == 4401


async def test_a_tenant_sees_and_touches_only_its_own(deployment: SocketsDeployment) -> None:
    async with deployment.dial() as harbour, deployment.dial(key=deployment.meadow_key) as meadow:
        ours = await harbour.ask("agent.register", agent_id="shared-type", instance_id="same-name")
        theirs = await meadow.ask("agent.register", agent_id="shared-type", instance_id="same-name")
        assert ours["registration_id"] != theirs["registration_id"] and theirs["is_new"]
        listed = await meadow.ask("agent.list", agent_id="shared-type")
        assert [each["registration_id"] for each in listed["instances"]] == [theirs["registration_id"]]
        of = {"registration_id": ours["registration_id"], "epoch": ours["epoch"]}
        for method, extra in (
            ("agent.heartbeat", {}),
            ("agent.drain", {}),
            ("agent.deregister", {}),
            ("agent.update", {"zone": "x"}),
        ):
            error = await expect_refused(meadow.ask(method, **of, **extra))
            assert (error.code, error.reason) == (4005, "not_found"), method
        assert (
            await expect_refused(meadow.ask("agent.status", registration_id=ours["registration_id"]))
        ).reason == "not_found"
        await harbour.ask("agent.heartbeat")
        error = await expect_refused(meadow.ask("agent.list", tenant_id=HARBOUR))
        assert error.code == 4001 and await meadow.close_code() == 4403


async def test_a_revoked_key_closes_its_sockets_in_time(deployment: SocketsDeployment) -> None:
    made = await deployment.issue_key(HARBOUR)
    async with deployment.dial(key=made.text.text) as socket:
        one = await socket.ask("agent.register", agent_id="revoked")
        await deployment.service.revoke(LOCAL, made.key.prefix)
        assert await socket.close_code() == 4401
        status = await deployment.get_status(one["registration_id"])
    assert status["registration_status"] == "inactive", "nobody finds it once its socket is closed"


async def test_a_key_that_is_bound_to_agents_writes_no_other_agent_nor_does_its_ticket(
    deployment: SocketsDeployment,
) -> None:
    key = (await deployment.issue_key(HARBOUR, agents=("bound-bot",))).text.text
    async with deployment.server.http(**{"X-API-Key": key}) as http:
        ticket = (await http.post("/agents/tickets")).json()["ticket"]
    async with (
        deployment.dial() as free,
        deployment.dial(key=key) as bound,
        dial(f"{deployment.one.url}?ticket={ticket}") as ticketed,
    ):
        foreign = await free.ask("agent.register", agent_id="free-bot", instance_id="f-1")
        which = {"registration_id": foreign["registration_id"], "epoch": foreign["epoch"]}
        for number, socket in enumerate((bound, ticketed)):
            await socket.ask("agent.register", agent_id="bound-bot", instance_id=f"b-{number}")
            for method, params in (
                ("agent.register", {"agent_id": "free-bot", "instance_id": "f-1"}),
                ("agent.register", {"resume_token": foreign["resume_token"]}),
                ("agent.heartbeat", which),
                ("agent.drain", which),
                ("agent.update", {**which, "zone": "x"}),
                ("agent.deregister", which),
            ):
                error = await expect_refused(socket.ask(method, **params))
                assert (error.code, error.reason, error.field) == (4001, "agent_not_allowed", "agent_id"), method
                assert "'free-bot'" in error.error["message"]
            assert (await socket.ask("agent.heartbeat"))["enabled"]
        assert (await free.ask("agent.heartbeat"))["epoch"] == foreign["epoch"]


async def test_a_ticket_opens_one_socket_on_whichever_process(deployment: SocketsDeployment) -> None:
    async with deployment.server.http(**{"X-API-Key": deployment.harbour_key}) as http:
        answer = await http.post("/agents/tickets")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    ticket = answer.json()["ticket"]
    assert 0 < answer.json()["expires_in_seconds"] <= 60
    sealed = await deployment.database.fetchval(
        "select string_agg(encode(sealed, 'escape'), '') from agenthall.socket_tickets"
    )
    assert "ahk_" not in sealed

    async def take(process: SocketsProcess) -> str:
        try:
            async with dial(f"{process.url}?ticket={ticket}") as socket:
                return str((await socket.ask("agent.status"))["identity"])
        except InvalidStatus as error:
            return str(error.response.status_code)

    taken = await asyncio.gather(
        *(take(each) for each in (deployment.one, deployment.other, deployment.one, deployment.other))
    )
    assert sorted(taken)[:3] == ["401"] * 3 and sorted(taken)[3].startswith("key:")


async def test_an_expired_ticket_opens_nothing_and_no_credentials_get_none(deployment: SocketsDeployment) -> None:
    async with deployment.server.http(**{"X-API-Key": deployment.harbour_key}) as http:
        ticket = (await http.post("/agents/tickets")).json()["ticket"]
    connection = await asyncpg.connect(deployment.server.database)
    await connection.execute("update agenthall.socket_tickets set expires_at = now() - interval '1 second'")
    await connection.close()
    with pytest.raises(InvalidStatus):
        async with dial(f"{deployment.one.url}?ticket={ticket}"):
            pass
    async with deployment.server.http() as http:
        assert (await http.post("/agents/tickets")).status_code == 401


async def _ticket(deployment: SocketsDeployment, key: str, **headers: str) -> str:
    async with deployment.server.http(**{"X-API-Key": key, **headers}) as http:
        return f"{deployment.one.url}?ticket={(await http.post('/agents/tickets', json={})).raise_for_status().json()['ticket']}"


async def test_a_ticket_keeps_its_organization_and_takes_no_other_credentials_beside_it(
    deployment: SocketsDeployment,
) -> None:
    both = (await deployment.issue_key(HARBOUR, MEADOW)).text.text
    meadow = {"X-Organization-Id": MEADOW}
    for url, beside in ((await _ticket(deployment, both, **meadow), {}), (await _ticket(deployment, both), meadow)):
        async with dial(url, headers=beside) as socket:
            assert (await socket.ask("agent.status"))["tenant_id"] == MEADOW
            assert {each["tenant_id"] for each in (await socket.ask("agent.list"))["instances"]} <= {MEADOW}
    for beside, status in (({"X-API-Key": deployment.meadow_key}, 400), (meadow, 403)):
        with pytest.raises(InvalidStatus) as caught:
            async with dial(await _ticket(deployment, deployment.harbour_key), headers=beside):
                pass
        assert caught.value.response.status_code == status
    async with dial(await _ticket(deployment, both)) as socket:
        error = await expect_refused(socket.ask("agent.list"))
        assert (error.reason, error.field) == ("organization_required", "tenant_id")


async def test_a_ticket_is_made_by_a_body_that_says_nothing(deployment: SocketsDeployment) -> None:
    async with deployment.server.http(**{"X-API-Key": deployment.harbour_key}) as http:
        answer = await http.post("/agents/tickets", json={"tenant_id": MEADOW, "ttl": 5})
    assert (answer.status_code, answer.json()["field"]) == (422, "tenant_id")


async def test_a_dropped_instance_comes_back_to_its_registration_on_another_process(
    deployment: SocketsDeployment,
) -> None:
    async with deployment.dial() as socket:
        made = await socket.ask("agent.register", agent_id="pod", instance_id="pod-1", capabilities=["a"])
        socket.abort()
    async with deployment.dial(deployment.other) as socket:
        again = await socket.ask("agent.register", resume_token=made["resume_token"])
        assert (again["registration_id"], again["is_new"]) == (made["registration_id"], False)
        assert again["epoch"] == made["epoch"] + 1
        seen = await socket.ask("agent.status", registration_id=made["registration_id"])
        assert seen["capabilities"] == ["a"] and seen["registration_status"] == "active"


async def test_a_dropped_socket_shortens_the_lease_to_the_grace(deployment: SocketsDeployment) -> None:
    async with deployment.dial() as watcher, deployment.dial() as socket:
        await watcher.ask("agent.watch", agent_id="gone")
        made = await socket.ask("agent.register", agent_id="gone")
        socket.abort()
        while (await watcher.wait_for_notification("agent.event"))["kind"] != "disconnected":
            pass
        left = await deployment.database.fetchval(
            "select extract(epoch from lease_expires_at - now()) from mcp.agent_leases where registration_id = $1",
            UUID(made["registration_id"]),
        )
        assert left <= 10


async def test_an_instance_that_registers_on_another_process_closes_the_older_socket(
    deployment: SocketsDeployment,
) -> None:
    async with deployment.dial() as older, deployment.dial(deployment.other) as newer:
        made = await older.ask("agent.register", agent_id="twice", instance_id="t-1")
        await newer.ask("agent.register", agent_id="twice", instance_id="t-1")
        assert (await older.wait_for_notification("agent.superseded"))["registration_id"] == made["registration_id"]
        assert await older.close_code() == 4409
        await newer.ask("agent.heartbeat")


async def test_an_operator_who_ends_a_registration_closes_its_socket(deployment: SocketsDeployment) -> None:
    async with deployment.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ended")
        await deployment.database.execute(
            "select mcp.deregister_agent_instance($1, $2, null, 'by hand')",
            UUID(HARBOUR),
            UUID(made["registration_id"]),
        )
        assert await socket.close_code() == 4408


async def test_a_watch_follows_both_processes_and_resumes(deployment: SocketsDeployment) -> None:
    async with (
        deployment.dial() as watcher,
        deployment.dial(deployment.other) as socket,
        deployment.dial(key=deployment.meadow_key) as stranger,
    ):
        position = (await watcher.ask("agent.watch", agent_id="seen"))["position"]
        await stranger.ask("agent.register", agent_id="seen")
        made = await socket.ask("agent.register", agent_id="seen", instance_id="s-1", capabilities=["x"])
        event = await watcher.wait_for_notification("agent.event")
        assert (event["kind"], event["registration_id"]) == ("registered", made["registration_id"])
        assert event["position"] > position and event["instance"]["capabilities"] == ["x"]
        await socket.ask("agent.drain")
        assert (await watcher.wait_for_notification("agent.event"))["kind"] == "draining"
        await watcher.ask("agent.watch", agent_id="seen", after=event["position"])
        assert (await watcher.wait_for_notification("agent.event"))["kind"] == "draining"
        await watcher.ask("agent.watch", agent_id="seen", capabilities=["x"], after=position)
        assert [(await watcher.wait_for_notification("agent.event"))["kind"] for _ in range(2)] == [
            "registered",
            "draining",
        ]


async def test_what_happened_too_long_ago_is_told_as_compacted(deployment: SocketsDeployment) -> None:
    async with deployment.dial() as socket:
        await socket.ask("agent.register", agent_id="old")
        await until(lambda: deployment.database.fetchval("select last > 0 from mcp.agent_event_log"))
        await deployment.database.execute("select mcp.compact_agent_events('0 seconds', 0)")
        await socket.ask("agent.watch", after=0)
        assert (await socket.wait_for_notification("agent.compacted"))["watch_id"] == "watch-1"


async def test_a_stop_closes_with_1012_keeps_the_leases_and_exits_with_0(deployment: SocketsDeployment) -> None:
    async with deployment.dial(deployment.other) as socket:
        made = await socket.ask("agent.register", agent_id="stays", instance_id="st-1")
        deployment.other.kill(signal.SIGTERM)
        assert await socket.wait_for_notification("server.restarting")
        assert await socket.close_code() == 1012
    assert await deployment.other.ended() == 0, deployment.other.read_log()[-2000:]
    assert await _is(deployment, made["registration_id"], "active")
    deployment.other.start()
    await deployment.other.ready()
    async with deployment.dial(deployment.other) as socket:
        again = await socket.ask("agent.register", agent_id="stays", instance_id="st-1")
        assert (again["registration_id"], again["epoch"]) == (made["registration_id"], made["epoch"] + 1)


async def test_a_port_that_is_taken_is_said_in_one_line(deployment: SocketsDeployment) -> None:
    settings = deployment.server.environment | {
        "AGENTHALL_SOCKETS_PORT": str(deployment.one.port),
        "AGENTHALL_SHARE_PORT": "0",
    }
    process = Process("sockets", settings, deployment.one.log.with_name("taken.log"))
    assert await process.ended() == 2
    assert "AGENTHALL_SOCKETS_PORT" in process.read_log()


@pytest.mark.parametrize(("heading", "lines"), conversations(), ids=[heading for heading, _ in conversations()])
async def test_the_pages_examples_are_what_happens(
    deployment: SocketsDeployment, heading: str, lines: list[str]
) -> None:
    async with dial(deployment.open.url) as socket:
        known: dict[str, Any] = {}
        early: list[Any] = []
        for line in lines:
            if line.startswith("→ "):
                await socket.send(fill_placeholders(orjson.loads(line[2:]), known))
                continue
            wanted = orjson.loads(line[2:])
            got = await next_message(socket, wanted, early)
            assert matches(wanted, got), f"{heading}: {got}"
            for part in [got, *got.get("messages", ())] if isinstance(got, dict) else got:
                known |= part.get("result") or {}
