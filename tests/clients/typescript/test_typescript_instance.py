"""AgentInstance of the TypeScript client, with a whole server."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from network.faulty_proxy import WebSocketProxy
from node_client import NodeClient, NodeError
from registry_server import ORGANIZATION, OTHER_ORGANIZATION, RegistryServer
from servers.live_server import until
from users.issued_api_keys import issue_api_key, revoke_api_key

Start = Callable[..., Awaitable[NodeClient]]


async def test_an_instance_is_discovered_between_open_and_close(server: RegistryServer, opened: Start) -> None:
    description = {"name": "Finder", "version": "1.4.2", "zone": "north", "tags": ["a"], "agentType": "ide"}
    me = await opened("ts-finder", capabilities=["ts-finding"], **description)
    registration = await me.call("registration")
    assert (registration["epoch"], await me.call("state"), registration["isNew"]) == (1, "active", True)
    (found,) = await me.call("discover", "ts-finding", {"version": ">=1.2,<2", "zone": "north", "tags": ["a"]})
    assert found["registrationId"] == registration["registrationId"]
    assert found["instanceId"] == await me.call("instanceId")
    assert (found["name"], found["tags"], found["agentType"], found["tenantId"]) == (
        "Finder",
        ["a"],
        "ide",
        ORGANIZATION,
    )
    assert found["connectionDetails"]["transport"] == "websocket" and found["registeredAt"].endswith("Z")
    assert await me.call("discover", "ts-finding", {"version": ">=2"}) == []
    assert (await me.call("status", registration["registrationId"]))["epoch"] == 1
    await me.call("close")
    assert (await me.call("state"), me.find("ended")) == ("closed", ["Closed"])
    gone = await server.get_instance(registration["registrationId"])
    assert (gone["registration_status"], gone["status_reason"]) == ("inactive", "done")
    assert await me.stopped() == 0


async def test_the_http_url_of_the_server_is_enough(
    server: RegistryServer, opened: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTHALL_URL", server.url)
    monkeypatch.setenv("AGENTHALL_API_KEY", server.key)
    monkeypatch.setenv("AGENTHALL_TENANT", ORGANIZATION)
    me = await opened("ts-addressed", url=None, apiKey=None)
    assert (await server.get_instance(await me.call("registrationId")))["tenant_id"] == ORGANIZATION


async def test_heartbeats_carry_what_the_callbacks_return(server: RegistryServer, opened: Start) -> None:
    callbacks = {"health": "healthy", "load": {"workload": 3}, "metrics": {"p99": 7}}
    me = await opened("ts-vital", callbacks=callbacks)
    registration_id = await me.call("registrationId")
    await me.set_callbacks(health="degraded")
    await me.call("beatNow")

    async def degraded_instance() -> Any:
        shown = await server.get_instance(registration_id)
        return shown if shown["health_status"] == "degraded" else None

    shown = await until(degraded_instance)
    assert (shown["workload"], shown["metrics"]) == (3, {"p99": 7})


@pytest.mark.parametrize("load", [{"workload": "much"}, "NaN"], ids=["refused", "not a number"])
async def test_values_that_cannot_be_sent_do_not_cost_the_lease(
    server: RegistryServer, opened: Start, load: object
) -> None:
    me = await opened("ts-boastful", callbacks={"load": load})
    registration_id = await me.call("registrationId")
    before = (await server.get_instance(registration_id))["last_health_check"]
    await me.call("beatNow")

    async def is_renewed() -> bool:
        return (await server.get_instance(registration_id))["last_health_check"] != before

    await until(is_renewed)
    assert await me.call("state") == "active"
    assert any("refused" in each for each in me.find("logged"))


async def test_an_instance_whose_health_callback_throws_is_unhealthy(server: RegistryServer, opened: Start) -> None:
    me = await opened("ts-failing", callbacks={"health": {"throws": "no idea"}})
    assert (await server.get_instance(await me.call("registrationId")))["health_status"] == "unhealthy"


async def test_an_update_survives_a_broken_connection(
    server: RegistryServer, opened: Start, proxy: WebSocketProxy
) -> None:
    me = await opened("ts-changing", url=proxy.url, capabilities=["one"], tags=["t"])
    changed = await me.call("update", {"capabilities": ["one", "two"], "zone": "south"})
    assert (changed["capabilities"], changed["zone"], changed["epoch"]) == (["one", "two"], "south", 1)
    with pytest.raises(NodeError, match="colour") as unknown:
        await me.call("update", {"colour": "red"})
    with pytest.raises(NodeError) as refused:
        await me.call("update", {"name": ""})
    assert (unknown.value.name, refused.value.name) == ("TypeError", "Refused")
    assert (refused.value.members["field"], refused.value.members["code"]) == ("name", 4005)
    proxy.cut()
    await me.reached(2)
    shown = await server.get_instance(await me.call("registrationId"))
    assert (shown["capabilities"], shown["zone"], shown["tags"]) == (["one", "two"], "south", ["t"])


async def test_a_newer_process_of_the_same_instance_takes_over_and_the_older_one_ends(
    server: RegistryServer, opened: Start
) -> None:
    older = await opened("ts-shared", instanceId="desk-1")
    draining = older.begin("untilDraining")
    newer = await opened("ts-shared", instanceId="desk-1")
    assert await newer.call("epoch") == 2
    assert await older.ended() == "Superseded"
    for call in (draining, older.begin("discover", "x")):
        with pytest.raises(NodeError) as failed:
            await call
        assert failed.value.name == "Superseded"
    assert await older.call("state") == "failed" and await older.stopped() == 0
    assert await newer.call("state") == "active"
    assert (await server.get_instance(await newer.call("registrationId")))["epoch"] == 2


async def test_sigterm_drains_and_running_work_is_finished(server: RegistryServer, opened: Start) -> None:
    me = await opened("ts-drainer", instanceId="pod-1", drainOnSigterm=True)
    registration_id = await me.call("registrationId")
    draining = me.begin("untilDraining")
    me.kill(signal.SIGTERM)
    await draining

    async def is_draining() -> bool:
        return (await server.get_instance(registration_id))["registration_status"] == "draining"

    await until(is_draining)
    await me.call("close")
    assert await me.stopped() == 0
    assert (await server.get_instance(registration_id))["registration_status"] == "inactive"


async def test_the_second_sigterm_ends_the_process(opened: Start) -> None:
    me = await opened("ts-killed", drainOnSigterm=True)
    draining = me.begin("untilDraining")
    me.kill(signal.SIGTERM)
    await draining
    me.kill(signal.SIGTERM)
    assert await me.stopped() == -signal.SIGTERM


async def test_a_draining_instance_is_not_discovered(opened: Start) -> None:
    me = await opened("ts-leaver", capabilities=["ts-leaving"])
    assert len(await me.call("discover", "ts-leaving")) == 1
    await me.call("drain", "lunch")
    assert await me.call("state") == "draining" and await me.call("discover", "ts-leaving") == []
    (draining,) = await me.call("list", "ts-leaving", {"status": "draining"})
    assert (draining["registrationId"], draining["statusReason"]) == (await me.call("registrationId"), "lunch")
    await me.call("untilDraining")


async def test_an_instance_is_invisible_to_other_organizations(server: RegistryServer, opened: Start) -> None:
    me, other = await opened("ts-private", capabilities=["ts-secret"]), await opened(apiKey=server.other_key)
    assert await other.call("discover", "ts-secret") == []
    with pytest.raises(NodeError) as refused:
        await other.call("status", await me.call("registrationId"))
    assert (refused.value.name, refused.value.members["reason"]) == ("Refused", "not_found")


async def test_bad_credentials_are_final(start: Start) -> None:
    for options, name in (
        ({"apiKey": "ahk_nonsense"}, "Unauthenticated"),
        ({"apiKey": None}, "Unauthenticated"),
        ({"tenantId": OTHER_ORGANIZATION}, "Forbidden"),
    ):
        me = await start("ts-nobody", **options)
        with pytest.raises(NodeError) as failed:
            await me.call("open")
        assert failed.value.name == name and await me.call("state") == "failed"
        assert await me.stopped() == 0


async def test_the_exception_of_a_token_function_is_the_cause_of_the_error(start: Start) -> None:
    me = await start("ts-tokenless", apiKey=None, callbacks={"token": {"throws": "the issuer is away"}})
    with pytest.raises(NodeError) as failed:
        await me.call("open")
    assert (failed.value.name, failed.value.members["cause"]) == ("ClientError", "the issuer is away")


async def test_a_token_may_come_from_a_function(server: RegistryServer, opened: Start) -> None:
    me = await opened("ts-tokened", apiKey=None, tenantId=ORGANIZATION, callbacks={"token": server.key})
    assert await me.call("epoch") == 1 and me.find("called") == ["token"]


async def test_a_revoked_key_ends_the_instance(server: RegistryServer, opened: Start) -> None:
    key = await issue_api_key(server.database, ORGANIZATION)
    me = await opened("ts-revoked", apiKey=key)
    await revoke_api_key(server.database, key)
    assert await me.ended() == "Unauthenticated"
    assert any("ts-revoked failed" in each for each in me.find("logged"))


async def test_a_disabled_configuration_refuses_the_registration(server: RegistryServer, opened: Start) -> None:
    me = await opened("ts-disabled")
    await me.call("close")
    connection = await asyncpg.connect(server.database)
    await connection.execute("update mcp.agent_configurations set enabled = false where name = 'ts-disabled'")
    await connection.close()
    with pytest.raises(NodeError) as failed:
        await opened("ts-disabled")
    assert failed.value.name == "Forbidden"


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9/ws", "http://127.0.0.1:9"])
async def test_a_server_that_does_not_answer_is_reported_after_a_time_limit(start: Start, url: str) -> None:
    me = await start("ts-early", url=url, timing={"ready": 1, "backoffFirst": 0.05})
    with pytest.raises(NodeError, match="cannot be reached") as failed:
        await me.call("open")
    assert failed.value.name == "Unreachable" and await me.stopped() == 0


async def test_an_instance_can_be_used_only_while_open_and_once(start: Start) -> None:
    me = await start("ts-once")
    with pytest.raises(NodeError) as early:
        await me.call("drain")
    await me.call("open")
    with pytest.raises(NodeError):
        await me.call("open")
    assert await me.call("state") == "active"
    await me.call("close")
    with pytest.raises(NodeError) as late:
        await me.call("discover", "x")
    with pytest.raises(NodeError):
        await me.call("open")
    assert early.value.name == late.value.name == "Closed"


async def test_sigterm_before_the_connection_ends_the_wait(start: Start) -> None:
    me = await start("ts-bot", url="ws://127.0.0.1:1", instanceId="one", drainOnSigterm=True)
    opening = me.begin("open")
    await me.in_state("connecting")
    me.kill(signal.SIGTERM)
    with pytest.raises(NodeError, match="SIGTERM"):
        await opening


async def test_two_processes_on_one_machine_are_two_instances_that_a_restarted_process_finds_again(
    opened: Start,
) -> None:
    one, two = await opened("ts-many"), await opened("ts-many")
    first, second = await one.call("registrationId"), await two.call("registrationId")
    assert first != second
    one.kill()
    await one.stopped()
    again = await opened("ts-many")
    assert (await again.call("registrationId"), await again.call("epoch")) == (first, 2)
    assert await two.call("state") == "active"
