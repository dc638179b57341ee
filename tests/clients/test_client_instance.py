"""An instance by the client package, against a whole server."""

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
from agenthall_client.timing import Timing
from cut_proxy import Proxy
from live_server import until
from made_keys import make_key, revoke_key
from registry_place import HARBOUR, MEADOW, QUICK, Place

Program = Callable[..., subprocess.Popen[str]]


async def test_an_instance_is_found_while_it_is_inside_and_gone_when_it_has_left(place: Place) -> None:
    async with place.instance(
        "finder", capabilities=["finding"], name="Finder", version="1.4.2", zone="north", tags=["a"], agent_type="ide"
    ) as me:
        assert (me.epoch, me.state, me.registration.is_new) == (1, State.ACTIVE, True)
        (found,) = await me.discover("finding", version=">=1.2,<2", zone="north")
        assert found["registration_id"] == me.registration_id and found["instance_id"] == me.instance_id
        assert (found["name"], found["tags"], found["agent_type"], found["tenant_id"]) == (
            "Finder",
            ["a"],
            "ide",
            HARBOUR,
        )
        assert found["connection_details"]["transport"] == "websocket"
        assert await me.discover("finding", version=">=2") == []
        assert (await me.status(me.registration_id))["epoch"] == 1
    assert me.state == State.CLOSED
    gone = await place.shown(me.registration_id)
    assert gone["registration_status"] == "inactive"


async def test_the_servers_http_address_is_enough(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTHALL_URL", place.url)
    monkeypatch.setenv("AGENTHALL_API_KEY", place.key)
    monkeypatch.setenv("AGENTHALL_TENANT", HARBOUR)
    async with AgentInstance("addressed") as me:
        assert (await place.shown(me.registration_id))["tenant_id"] == HARBOUR


async def test_what_the_program_says_of_itself_is_in_its_heartbeats(place: Place) -> None:
    health, load = ["healthy"], {"workload": 3}
    async with place.instance("vital", health=lambda: health[0], load=lambda: load, metrics=lambda: {"p99": 7}) as me:
        health[0] = "degraded"
        me.beat_now()

        async def is_told() -> Any:
            shown = await place.shown(me.registration_id)
            return shown if shown["health_status"] == "degraded" else None

        shown = await until(is_told)
        assert (shown["workload"], shown["metrics"]) == (3, {"p99": 7})


@pytest.mark.parametrize("workload", ["much", float("nan"), object()], ids=["refused", "unwritable", "unknown"])
async def test_figures_that_cannot_be_said_do_not_cost_the_lease(
    place: Place, caplog: pytest.LogCaptureFixture, workload: object
) -> None:
    async with place.instance("boastful", load=lambda: {"workload": workload}) as me:
        before = (await place.shown(me.registration_id))["last_health_check"]
        me.beat_now()

        async def has_beaten() -> bool:
            return (await place.shown(me.registration_id))["last_health_check"] != before

        await until(has_beaten)
        assert me.state == State.ACTIVE
    assert any("refused" in each.message and each.levelname == "ERROR" for each in caplog.records)


async def test_an_instance_whose_health_function_fails_is_unhealthy(place: Place) -> None:
    async with place.instance("failing", health=lambda: 1 / 0) as me:
        assert (await place.shown(me.registration_id))["health_status"] == "unhealthy"


async def test_a_change_is_kept_over_a_broken_connection(place: Place, proxy: Proxy) -> None:
    async with place.instance("changing", url=proxy.url, capabilities=["one"], tags=["t"]) as me:
        changed = await me.update(capabilities=["one", "two"], zone="south")
        assert (changed["capabilities"], changed["zone"], changed["epoch"]) == (["one", "two"], "south", 1)
        with pytest.raises(TypeError, match="colour"):
            await me.update(colour="red")
        with pytest.raises(Refused) as refused:
            await me.update(name="")
        assert (refused.value.field, refused.value.code) == ("name", 4005)
        proxy.cut()
        await until(lambda: me.epoch == 2)
        shown = await place.shown(me.registration_id)
        assert (shown["capabilities"], shown["zone"], shown["tags"]) == (["one", "two"], "south", ["t"])


async def test_a_newer_process_of_the_same_instance_takes_over_and_the_older_one_ends(
    place: Place, program: Program
) -> None:
    older = program("shared", "desk-1")
    assert older.stdout.readline().split()[0] == "registered"
    async with place.instance("shared", instance_id="desk-1") as newer:
        assert newer.epoch == 2
        assert await asyncio.to_thread(older.stdout.readline) == "ended Superseded failed\n"
        assert await asyncio.to_thread(older.wait, 20) == 0
        assert (await newer.status(newer.registration_id))["epoch"] == 2 and newer.state == State.ACTIVE


async def test_the_body_of_a_superseded_instance_is_cancelled_and_told_why(place: Place) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(Superseded):
            async with (
                place.instance("shared", instance_id="desk-2") as older,
                place.instance("shared", instance_id="desk-2"),
            ):
                await asyncio.Event().wait()
    assert older.state == State.FAILED


async def test_sigterm_drains_and_what_is_in_hand_is_finished(place: Place, program: Program) -> None:
    process = program("drainer", "pod-1")
    registration_id = process.stdout.readline().split()[1]
    process.send_signal(signal.SIGTERM)
    said = [await asyncio.to_thread(process.stdout.readline) for _ in range(2)]
    assert said == ["draining\n", "drained\n"]
    assert (await place.shown(registration_id))["registration_status"] == "draining"
    process.stdin.write("done\n")
    process.stdin.flush()
    assert await asyncio.to_thread(process.stdout.readline) == "gone closed\n"
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert (await place.shown(registration_id))["registration_status"] == "inactive"


async def test_a_draining_instance_is_not_discovered(place: Place) -> None:
    async with place.instance("leaver", capabilities=["leaving"]) as me:
        assert len(await me.discover("leaving")) == 1
        await me.drain("lunch")
        assert me.state == State.DRAINING and await me.discover("leaving") == []
        assert [each["registration_id"] for each in await me.list("leaving", status="draining")] == [me.registration_id]
        await me.until_draining()


async def test_what_one_tenant_registers_another_does_not_see(place: Place) -> None:
    async with place.instance("private", capabilities=["secret"]) as me, place.client(api_key=place.other_key) as other:
        assert await other.discover("secret") == []
        with pytest.raises(Refused) as refused:
            await other.status(me.registration_id)
        assert refused.value.reason == "not_found"


async def test_bad_credentials_are_final(place: Place) -> None:
    with pytest.raises(Unauthenticated):
        async with place.instance("nobody", api_key="ahk_nonsense"):
            pass
    with pytest.raises(Unauthenticated):
        async with place.instance("nobody", api_key=None):
            pass
    with pytest.raises(Forbidden, match=MEADOW):
        async with place.instance("nobody", tenant_id=MEADOW):
            pass


async def test_a_token_function_that_fails_is_told_to_whom_it_belongs(place: Place) -> None:
    with pytest.raises(ClientError) as failed:
        async with place.instance("tokenless", api_key=None, token=lambda: {}["token"]):
            pass
    assert isinstance(failed.value.__cause__, KeyError)


async def test_a_revoked_key_ends_the_instance(place: Place) -> None:
    key = await make_key(place.database, HARBOUR)
    async with asyncio.timeout(20):
        with pytest.raises(Unauthenticated):  # noqa: PT012 - it comes into the body
            async with place.instance("revoked", api_key=key):
                await revoke_key(place.database, key)
                await asyncio.Event().wait()


async def test_a_disabled_configuration_refuses_the_registration(place: Place) -> None:
    connection = await asyncpg.connect(place.database)
    async with place.instance("disabled"):
        pass
    await connection.execute("update mcp.agent_configurations set enabled = false where name = 'disabled'")
    await connection.close()
    with pytest.raises(Forbidden):
        async with place.instance("disabled"):
            pass


async def test_a_server_that_is_away_is_told_after_a_while() -> None:
    timing = Timing(ready=1.0, backoff_first=0.05)
    for url in ("ws://127.0.0.1:9/ws", "http://127.0.0.1:9"):
        with pytest.raises(Unreachable, match="cannot be reached"):
            async with AgentInstance("early", url=url, timing=timing):
                pass


async def test_it_is_used_inside_and_once(place: Place) -> None:
    me = place.instance("once")
    with pytest.raises(Closed):
        await me.drain()
    async with me:
        assert me.state == State.ACTIVE
    with pytest.raises(Closed):
        await me.discover("x")
    with pytest.raises(Closed):
        async with me:
            pass


async def test_an_error_of_the_body_is_the_bodys_own(place: Place) -> None:
    with pytest.raises(LookupError):
        async with place.instance("unlucky", timing=QUICK) as me:
            raise LookupError
    assert (await place.shown(me.registration_id))["registration_status"] == "inactive"


async def test_sigterm_before_it_is_connected_ends_the_wait() -> None:
    instance = AgentInstance("bot", url="ws://127.0.0.1:1", instance_id="one", drain_on_sigterm=True)
    entering = asyncio.create_task(instance.__aenter__())
    await until(lambda: instance._made is not None)
    instance._sigterm()
    with pytest.raises(Closed, match="SIGTERM"):
        await entering
