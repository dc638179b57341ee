"""AgentInstance with a whole server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from agenthall_client import (
    AgentInstance,
    ClientError,
    Closed,
    Forbidden,
    Refused,
    State,
    Superseded,
    Unauthenticated,
    Unreachable,
)
from agenthall_client.connection.timing import Timing
from deadlines import DEADLINE
from network.faulty_proxy import WebSocketProxy
from registry_server import FAST_TIMING, ORGANIZATION, OTHER_ORGANIZATION, RegistryServer
from servers.live_server import until
from servers.local_socket_server import local_socket_server
from users.issued_api_keys import issue_api_key, revoke_api_key

Program = Callable[..., subprocess.Popen[str]]


async def test_an_instance_is_discovered_inside_async_with_and_inactive_after_it(server: RegistryServer) -> None:
    async with server.instance(
        "finder", capabilities=["finding"], name="Finder", version="1.4.2", zone="north", tags=["a"], agent_type="ide"
    ) as me:
        assert (me.epoch, me.state, me.registration.is_new) == (1, State.ACTIVE, True)
        (found,) = await me.discover("finding", version=">=1.2,<2", zone="north")
        assert found.registration_id == me.registration_id and found.instance_id == me.instance_id
        assert (found.name, found.tags, found.agent_type, found.tenant_id) == ("Finder", ("a",), "ide", ORGANIZATION)
        assert found.connection_details["transport"] == "websocket"
        assert await me.discover("finding", version=">=2") == []
        assert (await me.status(me.registration_id)).epoch == 1
    assert me.state == State.CLOSED
    gone = await server.get_instance(me.registration_id)
    assert gone["registration_status"] == "inactive"


async def test_the_http_url_of_the_server_is_enough(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTHALL_URL", server.url)
    monkeypatch.setenv("AGENTHALL_API_KEY", server.key)
    monkeypatch.setenv("AGENTHALL_TENANT", ORGANIZATION)
    async with AgentInstance("addressed") as me:
        assert (await server.get_instance(me.registration_id))["tenant_id"] == ORGANIZATION


async def test_heartbeats_carry_what_the_callbacks_return(server: RegistryServer) -> None:
    health, load = ["healthy"], {"workload": 3}
    async with server.instance("vital", health=lambda: health[0], load=lambda: load, metrics=lambda: {"p99": 7}) as me:
        health[0] = "degraded"
        me.beat_now()

        async def degraded_instance() -> Any:
            shown = await server.get_instance(me.registration_id)
            return shown if shown["health_status"] == "degraded" else None

        shown = await until(degraded_instance)
        assert (shown["workload"], shown["metrics"]) == (3, {"p99": 7})


@pytest.mark.parametrize(
    "workload", ["much", float("nan"), object()], ids=["refused", "not a number", "not serializable"]
)
async def test_values_that_cannot_be_sent_do_not_cost_the_lease(
    server: RegistryServer, caplog: pytest.LogCaptureFixture, workload: object
) -> None:
    async with server.instance("boastful", load=lambda: {"workload": workload}) as me:
        before = (await server.get_instance(me.registration_id))["last_health_check"]
        me.beat_now()

        async def is_renewed() -> bool:
            return (await server.get_instance(me.registration_id))["last_health_check"] != before

        await until(is_renewed)
        assert me.state == State.ACTIVE
    assert any("refused" in each.message and each.levelname == "ERROR" for each in caplog.records)


async def test_an_instance_whose_health_callback_raises_is_unhealthy(server: RegistryServer) -> None:
    async with server.instance("failing-bot", health=lambda: 1 / 0) as me:
        assert (await server.get_instance(me.registration_id))["health_status"] == "unhealthy"


async def test_an_update_survives_a_broken_connection(server: RegistryServer, proxy: WebSocketProxy) -> None:
    async with server.instance("changing", url=proxy.url, capabilities=["one"], tags=["t"]) as me:
        changed = await me.update(capabilities=["one", "two"], zone="south")
        assert (changed.capabilities, changed.zone, changed.epoch) == (("one", "two"), "south", 1)
        with pytest.raises(TypeError, match="colour"):
            await me.update(colour="red")
        with pytest.raises(Refused) as refused:
            await me.update(name="")
        assert (refused.value.field, refused.value.code) == ("name", 4005)
        proxy.cut()
        await until(lambda: me.epoch == 2)
        shown = await server.get_instance(me.registration_id)
        assert (shown["capabilities"], shown["zone"], shown["tags"]) == (["one", "two"], "south", ["t"])


async def test_a_newer_process_of_the_same_instance_takes_over_and_the_older_one_ends(
    server: RegistryServer, start_program: Program
) -> None:
    older = start_program("shared", "desk-1")
    assert older.stdout.readline().split()[0] == "registered"
    async with server.instance("shared", instance_id="desk-1") as newer:
        assert newer.epoch == 2
        assert await asyncio.to_thread(older.stdout.readline) == "failed Superseded failed\n"
        assert await asyncio.to_thread(older.wait, DEADLINE) == 0
        assert (await newer.status(newer.registration_id)).epoch == 2 and newer.state == State.ACTIVE


async def test_the_body_of_a_superseded_instance_is_cancelled_and_raises_superseded(server: RegistryServer) -> None:
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Superseded):
            async with (
                server.instance("shared", instance_id="desk-2") as older,
                server.instance("shared", instance_id="desk-2"),
            ):
                await asyncio.Event().wait()
    assert older.state == State.FAILED


@pytest.mark.parametrize("kind", [(), ("blocking",)], ids=["asyncio", "blocking"])
async def test_sigterm_drains_and_running_work_is_finished(
    server: RegistryServer, start_program: Program, kind: tuple[str, ...]
) -> None:
    process = start_program("drainer", "pod-1", *kind)
    registration_id = process.stdout.readline().split()[1]
    process.send_signal(signal.SIGTERM)
    lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(2)]
    assert lines == ["draining\n", "drained\n"]
    assert (await server.get_instance(registration_id))["registration_status"] == "draining"
    process.stdin.write("done\n")
    process.stdin.flush()
    assert await asyncio.to_thread(process.stdout.readline) == "closed closed\n"
    assert await asyncio.to_thread(process.wait, DEADLINE) == 0
    assert (await server.get_instance(registration_id))["registration_status"] == "inactive"


async def test_a_draining_instance_is_not_discovered(server: RegistryServer) -> None:
    async with server.instance("leaver", capabilities=["leaving"]) as me:
        assert len(await me.discover("leaving")) == 1
        await me.drain("lunch")
        assert me.state == State.DRAINING and await me.discover("leaving") == []
        assert [each.registration_id for each in await me.list("leaving", status="draining")] == [me.registration_id]
        await me.until_draining()


async def test_an_instance_is_invisible_to_other_organizations(server: RegistryServer) -> None:
    async with (
        server.instance("private", capabilities=["secret"]) as me,
        server.client(api_key=server.other_key) as other,
    ):
        assert await other.discover("secret") == []
        with pytest.raises(Refused) as refused:
            await other.status(me.registration_id)
        assert refused.value.reason == "not_found"


async def test_bad_credentials_are_final(server: RegistryServer) -> None:
    with pytest.raises(Unauthenticated):
        async with server.instance("nobody", api_key="ahk_nonsense"):
            pass
    with pytest.raises(Unauthenticated):
        async with server.instance("nobody", api_key=None):
            pass
    with pytest.raises(Forbidden, match=OTHER_ORGANIZATION):
        async with server.instance("nobody", tenant_id=OTHER_ORGANIZATION):
            pass


async def test_the_exception_of_a_token_function_is_the_cause_of_the_error(server: RegistryServer) -> None:
    with pytest.raises(ClientError) as failed:
        async with server.instance("tokenless", api_key=None, token=lambda: {}["token"]):
            pass
    assert isinstance(failed.value.__cause__, KeyError)


async def test_a_revoked_key_ends_the_instance(server: RegistryServer) -> None:
    key = await issue_api_key(server.database, ORGANIZATION)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Unauthenticated):  # noqa: PT012 - it comes into the body
            async with server.instance("revoked", api_key=key):
                await revoke_api_key(server.database, key)
                await asyncio.Event().wait()


async def test_a_disabled_configuration_refuses_the_registration(server: RegistryServer) -> None:
    connection = await asyncpg.connect(server.database)
    async with server.instance("disabled"):
        pass
    await connection.execute("update mcp.agent_configurations set enabled = false where name = 'disabled'")
    await connection.close()
    with pytest.raises(Forbidden):
        async with server.instance("disabled"):
            pass


async def test_a_server_that_does_not_answer_is_reported_after_a_time_limit() -> None:
    timing = Timing(ready=1.0, backoff_first=0.05)
    for url in ("ws://127.0.0.1:9/ws", "http://127.0.0.1:9"):
        with pytest.raises(Unreachable, match="cannot be reached"):
            async with AgentInstance("early", url=url, timing=timing):
                pass


async def test_an_instance_can_be_used_only_inside_async_with_and_once(server: RegistryServer) -> None:
    me = server.instance("once")
    with pytest.raises(Closed):
        await me.drain()
    async with me:
        assert me.state == State.ACTIVE
    with pytest.raises(Closed):
        await me.discover("x")
    with pytest.raises(Closed):
        async with me:
            pass


async def test_an_exception_of_the_body_is_raised_and_the_instance_deregisters(server: RegistryServer) -> None:
    with pytest.raises(LookupError):
        async with server.instance("unlucky", timing=FAST_TIMING) as me:
            raise LookupError
    assert (await server.get_instance(me.registration_id))["registration_status"] == "inactive"


async def test_an_order_of_the_server_drains_the_instance() -> None:
    async with local_socket_server() as local, AgentInstance("told", url=local.url, api_key="alpha-key") as me:
        (session,) = local.hub
        session.notify("agent.draining", {**me.registration.reference, "epoch": 0, "message": "for an earlier epoch"})
        session.notify("agent.draining", {**me.registration.reference, "message": "by an operator"})
        async with asyncio.timeout(DEADLINE):
            await me.until_draining()
        assert me.state == State.DRAINING


async def test_sigterm_before_the_connection_ends_the_wait() -> None:
    instance = AgentInstance("bot", url="ws://127.0.0.1:1", instance_id="one", drain_on_sigterm=True)
    entering = asyncio.create_task(instance.__aenter__())
    await until(lambda: instance._opened is not None)
    instance._on_sigterm()
    with pytest.raises(Closed, match="SIGTERM"):
        await entering
