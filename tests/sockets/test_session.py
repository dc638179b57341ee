"""What a socket answers, and when it is closed: the protocol, over real sockets, on a fake registry."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID, uuid4

import orjson
import pytest
from dialled import Refused
from live_server import until
from places import ALPHA, BETA, DEVELOPMENT, Place, place

from robyn_server.core.errors import Unavailable
from robyn_server.core.registry import EventKind
from robyn_server.sockets.methods import METHODS

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


async def refused(asking: object) -> Refused:
    with pytest.raises(Refused) as caught:
        await asking  # type: ignore[misc]
    return caught.value


# who it is


async def test_the_seeds_message_registers_word_for_word() -> None:
    async with place(is_open=True) as open_place, open_place.dial(key=None) as socket:
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
        row = open_place.registry.known[UUID(result["registration_id"])]
        assert row["tenant_id"] == DEVELOPMENT and row["capabilities"] == ("code_completion", "debugging")
        assert row["connection_details"]["transport"] == "websocket"


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ({"tenant_id": str(DEVELOPMENT), "api_key": "wrong"}, 4401),
        ({"tenant_id": str(DEVELOPMENT), "token": "wrong"}, 4401),
        ({"tenant_id": str(ALPHA), "api_key": "dev-key"}, 4403),
    ],
)
async def test_an_open_server_verifies_what_a_message_claims(auth: dict[str, str], code: int) -> None:
    async with place(is_open=True) as open_place, open_place.dial(key=None) as socket:
        error = await refused(socket.ask("agent.register", agent_id="ide", auth=auth))
        assert error.code == 4001
        assert await socket.close_code() == code
        assert not open_place.registry.known


async def test_without_a_development_key_no_key_is_right() -> None:
    async with place(is_open=True, dev_key=None) as open_place, open_place.dial(key=None) as socket:
        await socket.send(SEED)
        assert await socket.close_code() == 4401


async def test_an_open_server_takes_a_socket_that_shows_nothing_for_local() -> None:
    async with place(is_open=True) as open_place, open_place.dial(key=None) as socket:
        assert (await socket.ask("agent.status"))["identity"] == "local"


async def test_credentials_come_with_the_handshake(here: Place) -> None:
    async with here.dial() as socket:
        assert (await socket.ask("agent.status"))["identity"] == "key:alpha"


@pytest.mark.parametrize("method", ["auth", "authenticate"])
async def test_credentials_come_with_a_first_message_of_their_own(here: Place, method: str) -> None:
    async with here.dial(key=None) as socket:
        assert (await socket.ask(method, api_key="alpha-key"))["identity"] == "key:alpha"
        await socket.ask("agent.register", agent_id="ide")


async def test_a_socket_that_shows_no_credentials_is_told_and_closed(here: Place) -> None:
    async with here.dial(key=None) as socket:
        error = await refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.reason) == (4001, "credentials_expected")
        assert await socket.close_code() == 4401
    assert not here.registry.known


async def test_what_comes_after_a_refusal_is_not_looked_at(here: Place) -> None:
    async with here.dial(key=None) as socket:
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
    assert not here.registry.known


async def test_a_message_may_name_a_tenant_that_the_credentials_belong_to(here: Place) -> None:
    async with here.dial(key="both-key") as socket:
        error = await refused(socket.ask("agent.register", agent_id="ide"))
        assert error.reason == "organization_required"
        made = await socket.ask("agent.register", agent_id="ide", tenant_id=str(BETA))
        assert here.registry.known[UUID(made["registration_id"])]["tenant_id"] == BETA


async def test_naming_a_foreign_tenant_closes_the_socket(here: Place) -> None:
    async with here.dial() as socket:
        error = await refused(socket.ask("agent.register", agent_id="ide", tenant_id=str(BETA)))
        assert (error.code, error.reason, error.field) == (4001, "forbidden", "tenant_id")
        assert await socket.close_code() == 4403
    async with here.dial(key=None) as socket:
        await refused(socket.ask("auth", api_key="alpha-key", tenant_id=str(BETA)))
        assert await socket.close_code() == 4403


async def test_a_socket_never_changes_hands(here: Place) -> None:
    async with here.dial() as socket:
        await socket.ask("auth", api_key="alpha-key")
        assert (await refused(socket.ask("auth", api_key="beta-key"))).reason == "principal_differs"
        assert await socket.close_code() == 4401


async def test_a_key_that_is_revoked_closes_its_sockets() -> None:
    async with (
        place(recheck_seconds=0.1) as somewhere,
        somewhere.dial() as socket,
        somewhere.dial(key="beta-key") as other,
    ):
        made = await socket.ask("agent.register", agent_id="ide")
        del somewhere.people.keys["alpha-key"]
        assert await socket.close_code() == 4401
        await until(lambda: somewhere.registry.ended == [("disconnect", UUID(made["registration_id"]))])
        assert await other.ask("ping") == {"pong": True}


async def test_a_principal_that_leaves_the_tenant_loses_what_it_holds_there() -> None:
    async with place(recheck_seconds=0.1) as somewhere, somewhere.dial(key="both-key") as socket:
        await socket.ask("agent.register", agent_id="ide", tenant_id=str(BETA))
        keys = somewhere.people.keys
        keys["both-key"] = type(keys["both-key"])("key:both", frozenset({ALPHA}))
        assert await socket.close_code() == 4403


async def test_a_scope_is_asked_for(here: Place) -> None:
    async with here.dial(key="reader") as socket:
        assert "instances" in await socket.ask("agent.list")
        error = await refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.reason, error.field) == (4001, "scope_missing", "agents:register")
        assert await socket.ask("ping") == {"pong": True}


# registrations


async def test_a_message_may_leave_out_the_only_registration(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        beat = await socket.ask("agent.heartbeat", health="degraded", load={"workload": 3})
        assert beat == {
            "registration_id": made["registration_id"],
            "epoch": 1,
            "heartbeat_interval_seconds": 5.0,
            "lease_ttl_seconds": 15.0,
        }
        assert (await socket.ask("agent.drain", reason="update"))["registration_status"] == "draining"
        assert (await socket.ask("agent.update", zone="b"))["instance_id"] == "one"
        assert (await socket.ask("agent.deregister"))["registration_status"] == "inactive"
        assert (await refused(socket.ask("agent.heartbeat"))).reason == "must_register"


async def test_several_registrations_must_be_named_and_have_a_limit(here: Place) -> None:
    async with here.dial() as socket:
        made = [await socket.ask("agent.register", agent_id="ide", instance_id=str(number)) for number in range(4)]
        assert (await refused(socket.ask("agent.heartbeat"))).reason == "registration_required"
        await socket.ask("agent.heartbeat", registration_id=made[2]["registration_id"])
        error = await refused(socket.ask("agent.register", agent_id="ide", instance_id="5"))
        assert (error.code, error.reason) == (4002, "too_many_registrations")
        await socket.ask("agent.register", agent_id="ide", instance_id="2")
        listed = (await socket.ask("agent.status"))["registrations"]
        assert {each["registration_id"] for each in listed} == {each["registration_id"] for each in made}


async def test_a_registration_made_elsewhere_needs_its_epoch(here: Place) -> None:
    async with here.dial() as one, here.dial() as other:
        made = await one.ask("agent.register", agent_id="ide", instance_id="one")
        error = await refused(other.ask("agent.heartbeat", registration_id=made["registration_id"]))
        assert (error.reason, error.field) == ("epoch_required", "epoch")
        await other.ask("agent.heartbeat", registration_id=made["registration_id"], epoch=made["epoch"])


async def test_an_instance_that_registers_on_a_newer_socket_closes_the_older(here: Place) -> None:
    async with here.dial() as older, here.dial() as newer:
        first = await older.ask("agent.register", agent_id="ide", instance_id="one")
        second = await newer.ask("agent.register", agent_id="ide", instance_id="one")
        assert (second["registration_id"], second["epoch"], second["is_new"]) == (first["registration_id"], 2, False)
        assert (await older.notified("agent.superseded"))["registration_id"] == first["registration_id"]
        assert await older.close_code() == 4409
        await newer.ask("agent.heartbeat")
    await until(lambda: here.registry.ended)
    assert here.registry.ended == [("deregister", UUID(first["registration_id"]))]


async def test_a_newer_epoch_in_another_process_closes_the_socket(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        here.watch.tell(EventKind.RECONNECTED, ALPHA, UUID(made["registration_id"]), 2)
        assert (await socket.notified("agent.superseded"))["epoch"] == 1
        assert await socket.close_code() == 4409
    assert here.registry.ended == []


async def test_a_socket_that_holds_more_stays_open_when_one_is_superseded(here: Place) -> None:
    async with here.dial() as socket:
        lost = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        kept = await socket.ask("agent.register", agent_id="ide", instance_id="two")
        here.watch.tell(EventKind.RECONNECTED, ALPHA, UUID(lost["registration_id"]), 2)
        await socket.notified("agent.superseded")
        assert (await socket.ask("agent.heartbeat"))["registration_id"] == kept["registration_id"]


async def test_events_of_its_own_epoch_do_not_close_a_socket(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        here.watch.tell(EventKind.REGISTERED, ALPHA, UUID(made["registration_id"]), 1)
        here.watch.tell(EventKind.STALE, ALPHA, UUID(made["registration_id"]), 1)
        assert (await socket.notified("agent.lapsed"))["registration_id"] == made["registration_id"]
        await socket.ask("agent.heartbeat")


async def test_an_instance_hears_that_an_operator_drains_it(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        here.watch.tell(EventKind.DRAINING, ALPHA, UUID(made["registration_id"]), 1, status_reason="the node goes away")
        told = await socket.notified("agent.draining")
        assert (told["registration_id"], told["epoch"], told["reason"]) == (
            made["registration_id"],
            1,
            "the node goes away",
        )
        await socket.ask("agent.heartbeat")


async def test_the_event_of_its_own_new_epoch_does_not_supersede_a_socket(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        here.registry.hold_up = asyncio.Event()
        await socket.send(
            {"type": 0, "id": 9, "method": "agent.register", "params": {"agent_id": "ide", "instance_id": "one"}}
        )
        await until(lambda: any(each.postponed is not None for each in here.hall))
        here.watch.tell(EventKind.RECONNECTED, ALPHA, UUID(made["registration_id"]), 2)
        await until(lambda: any(each.postponed for each in here.hall))
        here.registry.hold_up.set()
        assert (await socket.answer(9))["result"]["epoch"] == 2
        assert (await socket.ask("agent.heartbeat"))["epoch"] == 2
        assert socket.notices == []


@pytest.mark.parametrize("kind", [EventKind.INACTIVE, EventKind.DELETED, EventKind.DEREGISTERED])
async def test_a_lost_lease_closes_the_socket(here: Place, kind: EventKind) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        here.watch.tell(kind, ALPHA, UUID(made["registration_id"]), 1)
        assert (await socket.notified("agent.lease_lost"))["registration_id"] == made["registration_id"]
        assert await socket.close_code() == 4408


async def test_a_heartbeat_that_comes_too_late_is_told_to_register(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        here.registry.known.clear()
        error = await refused(socket.ask("agent.heartbeat"))
        assert (error.code, error.reason) == (4008, "must_register")
        assert await socket.close_code() == 4408
        assert made


async def test_a_heartbeat_of_an_older_epoch_is_superseded_and_changes_nothing(here: Place) -> None:
    async with here.dial() as socket:
        await socket.ask("agent.register", agent_id="ide", instance_id="one")
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        error = await refused(socket.ask("agent.heartbeat", registration_id=made["registration_id"], epoch=1))
        assert (error.code, error.reason) == (4008, "superseded")
        await socket.ask("agent.heartbeat", registration_id=made["registration_id"], epoch=2)


async def test_a_resume_token_finds_the_registration_without_an_id(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one", capabilities=["a"], zone="z")
        socket.drop()
    await until(lambda: here.registry.ended == [("disconnect", UUID(made["registration_id"]))])
    async with here.dial() as socket:
        again = await socket.ask("agent.register", resume_token=made["resume_token"], zone="y")
        assert (again["registration_id"], again["instance_id"], again["is_new"]) == (
            made["registration_id"],
            "one",
            False,
        )
    row = here.registry.known[UUID(made["registration_id"])]
    assert (row["capabilities"], row["zone"]) == (("a",), "y")


async def test_a_resume_token_is_worth_nothing_to_another_tenant(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
    async with here.dial(key="beta-key") as socket:
        error = await refused(socket.ask("agent.register", resume_token=made["resume_token"]))
        assert error.reason == "forbidden"
        assert await socket.close_code() == 4403
    async with here.dial(key="both-key") as socket:
        error = await refused(socket.ask("agent.register", resume_token=made["resume_token"], tenant_id=str(BETA)))
        assert (error.code, error.field) == (4005, "resume_token")
        error = await refused(socket.ask("agent.register", resume_token=made["resume_token"], agent_id="other"))
        assert (error.code, error.field) == (4005, "agent_id")


@pytest.mark.parametrize(
    ("code", "what"), [(1000, "deregister"), (1001, "deregister"), (1011, "disconnect"), (4000, "disconnect")]
)
async def test_a_goodbye_deregisters_and_anything_else_keeps_a_grace(here: Place, code: int, what: str) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide")
        await socket.leave(code)
    await until(lambda: here.registry.ended)
    assert here.registry.ended == [(what, UUID(made["registration_id"]))]


async def test_a_socket_that_breaks_off_keeps_a_grace(here: Place) -> None:
    async with here.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide")
        socket.drop()
    await until(lambda: here.registry.ended)
    assert here.registry.ended == [("disconnect", UUID(made["registration_id"]))]


# messages


async def test_an_unknown_method_is_4004_and_lists_the_known(here: Place) -> None:
    async with here.dial() as socket:
        error = await refused(socket.ask("agent.dance"))
        assert (error.code, error.reason) == (4004, "unknown_method")
        assert all(name in error.error["message"] for name in METHODS)


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("agent.register", {}, "agent_id"),
        ("agent.register", {"agent_id": "ide", "colour": "red"}, "colour"),
        ("agent.register", {"agent_id": 7}, "agent_id"),
        ("agent.register", {"agent_id": "ide", "capabilities": "a"}, "capabilities"),
        ("agent.register", {"agent_id": "ide", "capabilities": ["a", 1]}, "capabilities.1"),
        ("agent.register", {"agent_id": "ide", "capabilities": ["a"] * 65}, "capabilities"),
        ("agent.register", {"agent_id": "ide", "runtime_config": []}, "runtime_config"),
        ("agent.register", {"agent_id": "ide", "tenant_id": "x"}, "tenant_id"),
        ("agent.register", {"agent_id": "ide", "health": "stale"}, "health"),
        ("agent.register", {"agent_id": "ide", "auth": "x"}, "auth"),
        ("agent.register", {"agent_id": "ide", "auth": {"api_key": 1}}, "auth.api_key"),
        ("agent.register", {"agent_id": "ide", "auth": {"tenant_id": str(ALPHA)}}, "auth.api_key"),
        ("agent.register", {"resume_token": "nonsense"}, "resume_token"),
        ("agent.heartbeat", {"epoch": 2**63}, "epoch"),
        ("agent.heartbeat", {"epoch": -1}, "epoch"),
        ("agent.heartbeat", {"epoch": 1.0}, "epoch"),
        ("agent.heartbeat", {"load": 3}, "load"),
        ("agent.deregister", {"reason": "x" * 256}, "reason"),
        ("agent.update", {"instance_id": "x"}, "instance_id"),
        ("agent.list", {"limit": 0}, "limit"),
        ("agent.list", {"limit": 101}, "limit"),
        ("agent.list", {"status": "stale"}, "status"),
        ("agent.discover", {"status": "active"}, "status"),
        ("agent.discover", {"free_slots": -1}, "free_slots"),
        ("agent.watch", {"after": -1}, "after"),
        ("agent.unwatch", {}, "watch_id"),
        ("agent.unwatch", {"watch_id": "watch-99"}, "watch_id"),
        ("ping", {"x": 1}, "x"),
    ],
)
async def test_a_wrong_parameter_is_4005_and_named(
    here: Place, method: str, params: dict[str, object], field: str
) -> None:
    async with here.dial() as socket:
        error = await refused(socket.ask(method, **params))
        assert (error.code, error.field) == (4005, field)
        assert await socket.ask("ping") == {"pong": True}


async def test_an_update_of_nothing_is_refused(here: Place) -> None:
    async with here.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        assert (await refused(socket.ask("agent.update"))).code == 4005


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":0,"id":"1","method":"ping"}',
        '{"type":0,"id":"1","method":"ping","params":' + "[" * 30_000,
        '{"a":' * 200 + "1" + "}" * 200,
        '{"type":0,"id":"1","method":"agent.heartbeat","params":{"epoch":1e999}}',
        '{"type":0,"id":"1","method":"ping","params":{"x":NaN}}',
        "\x00",
        "",
    ],
)
async def test_strange_frames_are_errors_and_the_socket_lives(here: Place, frame: str | bytes) -> None:
    async with here.dial() as socket:
        answer = await socket.roundtrip(frame)
        assert answer["type"] == 3 and answer["error"]["code"] == 4000
        assert await socket.ask("ping") == {"pong": True}


async def test_a_number_beyond_all_bounds_is_a_wrong_parameter(here: Place) -> None:
    async with here.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        answer = await socket.roundtrip(
            '{"type":0,"id":1,"method":"agent.heartbeat","params":{"epoch":' + "9" * 400 + "}}"
        )
        assert answer["error"]["code"] in {4000, 4005}


async def test_a_message_in_fragments_is_one_message(here: Place) -> None:
    async with here.dial() as socket:
        await socket.socket.send(['{"type":0,"id":"1",', '"method":', '"ping"}'])
        assert (await socket.read())["result"] == {"pong": True}


async def test_a_message_over_64_kib_closes_with_1009(here: Place) -> None:
    async with here.dial() as socket:
        await socket.send('{"type":0,"id":"1","method":"ping","params":{}' + " " * 65_536 + "}")
        assert await socket.close_code() == 1009
    async with here.dial() as socket:
        with contextlib.suppress(Exception):
            await socket.socket.send([" " * 30_000] * 3)
        assert await socket.close_code() == 1009


async def test_ping_of_the_envelope_and_pong(here: Place) -> None:
    async with here.dial() as socket:
        assert await socket.roundtrip({"type": 4, "id": "p-1"}) == {"type": 5, "id": "p-1"}
        await socket.send({"type": 5, "id": "p-2"})
        assert await socket.ask("ping") == {"pong": True}


async def test_a_notification_is_done_and_not_answered(here: Place) -> None:
    async with here.dial() as socket:
        await socket.send(
            {"type": 2, "method": "agent.register", "params": {"agent_id": "ide", "instance_id": "quiet"}}
        )
        await socket.send({"type": 2, "method": "agent.dance"})
        listed = await socket.ask("agent.status")
        assert [each["instance_id"] for each in listed["registrations"]] == ["quiet"]


async def test_a_batch_is_answered_by_one_message_in_its_order(here: Place) -> None:
    async with here.dial() as socket:
        messages = [
            {"type": 0, "id": 1, "method": "agent.register", "params": {"agent_id": "ide"}},
            {"type": 0, "id": 2, "method": "agent.heartbeat"},
            {"type": 0, "id": 3, "method": "agent.heartbeat"},
            {"type": 2, "method": "agent.heartbeat"},
            {"type": 0, "id": 4, "method": "nonsense"},
            {"type": 4, "id": 5},
        ]
        answer = await socket.roundtrip({"type": 6, "id": "b", "messages": messages})
        assert (answer["type"], answer["id"]) == (6, "b")
        assert [(each["type"], each["id"]) for each in answer["messages"]] == [(1, 1), (1, 2), (1, 3), (3, 4), (5, 5)]


async def test_jsonrpc_is_answered_in_kind(here: Place) -> None:
    async with here.dial() as socket:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "agent.register", "params": {"agent_id": "ide"}}
        answer = await socket.roundtrip(ask)
        assert answer["jsonrpc"] == "2.0" and answer["id"] == 1 and answer["result"]["epoch"] == 1
        answer = await socket.roundtrip({"jsonrpc": "2.0", "id": 2, "method": "dance"})
        assert answer["error"]["code"] == -32601
        answer = await socket.roundtrip({"jsonrpc": "2.0", "id": 3, "method": "agent.list", "params": {"limit": 0}})
        assert answer["error"]["code"] == -32602 and answer["error"]["data"]["field"] == "limit"
        answers = await socket.roundtrip(
            [{**ask, "id": 4, "method": "ping", "params": {}}, {"jsonrpc": "2.0", "method": "ping"}, 7]
        )
        assert [each.get("id") for each in answers] == [4, None]
        assert answers[1]["error"]["code"] == -32600
        here.watch.tell(EventKind.RECONNECTED, ALPHA, next(iter(here.registry.known)), 2)
        assert (await socket.read())["jsonrpc"] == "2.0"


async def test_the_database_being_away_is_a_retryable_4003(here: Place) -> None:
    async with here.dial() as socket:
        here.registry.error = Unavailable("The database cannot be reached; try again")
        error = await refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.error["retryable"]) == (4003, True)
        here.registry.error = RuntimeError("a secret")
        error = await refused(socket.ask("agent.register", agent_id="ide"))
        assert error.code == 4003 and "secret" not in str(error.error)
        here.registry.error = None
        await socket.ask("agent.register", agent_id="ide")


async def test_a_request_that_takes_too_long_is_cancelled() -> None:
    async with place(request_seconds=0.1) as somewhere, somewhere.dial() as socket:
        somewhere.registry.hold_up = asyncio.Event()
        error = await refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.reason, error.error["retryable"]) == (4006, "cancelled", True)


# watches


async def test_a_watch_tells_events_after_its_answer(here: Place) -> None:
    async with here.dial() as socket:
        watched = await socket.ask("agent.watch", agent_id="ide")
        assert watched == {"watch_id": "watch-1", "position": here.watch.position}
        registration = uuid4()
        await until(lambda: len(here.watch.subscribers) > 1)
        here.watch.tell(EventKind.REGISTERED, BETA, uuid4(), 1)
        here.watch.tell(EventKind.REGISTERED, ALPHA, registration, 1)
        event = await socket.notified("agent.event")
        assert set(event) == {
            "watch_id",
            "position",
            "kind",
            "tenant_id",
            "agent_id",
            "registration_id",
            "instance",
            "at",
        }
        assert (event["kind"], event["tenant_id"], event["registration_id"]) == (
            "registered",
            str(ALPHA),
            str(registration),
        )
        assert (await socket.ask("agent.status"))["watches"] == ["watch-1"]
        assert await socket.ask("agent.unwatch", watch_id="watch-1") == {"watch_id": "watch-1"}
        assert (await socket.ask("agent.status"))["watches"] == []
    await until(lambda: len(here.watch.subscribers) == 1)


async def test_watches_have_a_limit(here: Place) -> None:
    async with here.dial() as socket:
        for _ in range(2):
            await socket.ask("agent.watch")
        error = await refused(socket.ask("agent.watch"))
        assert (error.code, error.reason) == (4002, "too_many_watches")
        answer = await socket.roundtrip(orjson.dumps({"type": 4, "id": 1}).decode())
        assert answer["type"] == 5
