"""Registrations of a socket: how messages refer to them, how they end, and their state after the socket."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from network.websocket_client import expect_refused
from servers.live_server import until
from servers.local_socket_server import ALPHA, BETA, LocalSocketServer

from robyn_server.core.registry.instances import EventKind


async def test_a_message_may_leave_out_the_only_registration(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        beat = await socket.ask("agent.heartbeat", health="degraded", load={"workload": 3})
        assert beat == {
            "registration_id": made["registration_id"],
            "epoch": 1,
            "heartbeat_interval_seconds": 5.0,
            "lease_ttl_seconds": 15.0,
            "enabled": True,
            "cordoned": False,
        }
        assert (await socket.ask("agent.drain", reason="update"))["registration_status"] == "draining"
        assert (await socket.ask("agent.update", zone="b"))["instance_id"] == "one"
        assert (await socket.ask("agent.deregister"))["registration_status"] == "inactive"
        assert (await expect_refused(socket.ask("agent.heartbeat"))).reason == "must_register"


async def test_several_registrations_must_be_named_and_have_a_limit(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = [await socket.ask("agent.register", agent_id="ide", instance_id=str(number)) for number in range(4)]
        assert (await expect_refused(socket.ask("agent.heartbeat"))).reason == "registration_required"
        await socket.ask("agent.heartbeat", registration_id=made[2]["registration_id"])
        error = await expect_refused(socket.ask("agent.register", agent_id="ide", instance_id="5"))
        assert (error.code, error.reason) == (4002, "too_many_registrations")
        await socket.ask("agent.register", agent_id="ide", instance_id="2")
        listed = (await socket.ask("agent.status"))["registrations"]
        assert {each["registration_id"] for each in listed} == {each["registration_id"] for each in made}


async def test_a_registration_made_elsewhere_needs_its_epoch(server: LocalSocketServer) -> None:
    async with server.dial() as one, server.dial() as other:
        made = await one.ask("agent.register", agent_id="ide", instance_id="one")
        error = await expect_refused(other.ask("agent.heartbeat", registration_id=made["registration_id"]))
        assert (error.reason, error.field) == ("epoch_required", "epoch")
        await other.ask("agent.heartbeat", registration_id=made["registration_id"], epoch=made["epoch"])


async def test_an_instance_that_registers_on_a_newer_socket_closes_the_older(server: LocalSocketServer) -> None:
    async with server.dial() as older, server.dial() as newer:
        first = await older.ask("agent.register", agent_id="ide", instance_id="one")
        second = await newer.ask("agent.register", agent_id="ide", instance_id="one")
        assert (second["registration_id"], second["epoch"], second["is_new"]) == (first["registration_id"], 2, False)
        assert (await older.wait_for_notification("agent.superseded"))["registration_id"] == first["registration_id"]
        assert await older.close_code() == 4409
        await newer.ask("agent.heartbeat")
    await until(lambda: server.registry.ended)
    assert server.registry.ended == [("deregister", UUID(first["registration_id"]))]


async def test_a_newer_epoch_in_another_process_closes_the_socket(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        server.watch.publish(EventKind.RECONNECTED, ALPHA, UUID(made["registration_id"]), 2)
        assert (await socket.wait_for_notification("agent.superseded"))["epoch"] == 1
        assert await socket.close_code() == 4409
    assert server.registry.ended == []


async def test_a_socket_that_holds_more_stays_open_when_one_is_superseded(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        lost = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        kept = await socket.ask("agent.register", agent_id="ide", instance_id="two")
        server.watch.publish(EventKind.RECONNECTED, ALPHA, UUID(lost["registration_id"]), 2)
        await socket.wait_for_notification("agent.superseded")
        assert (await socket.ask("agent.heartbeat"))["registration_id"] == kept["registration_id"]


async def test_events_of_its_own_epoch_do_not_close_a_socket(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        server.watch.publish(EventKind.REGISTERED, ALPHA, UUID(made["registration_id"]), 1)
        server.watch.publish(EventKind.STALE, ALPHA, UUID(made["registration_id"]), 1)
        assert (await socket.wait_for_notification("agent.lapsed"))["registration_id"] == made["registration_id"]
        await socket.ask("agent.heartbeat")


async def test_an_instance_hears_that_an_operator_drains_it(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        server.watch.publish(
            EventKind.DRAINING, ALPHA, UUID(made["registration_id"]), 1, status_reason="the node goes away"
        )
        told = await socket.wait_for_notification("agent.draining")
        assert (told["registration_id"], told["epoch"], told["reason"]) == (
            made["registration_id"],
            1,
            "the node goes away",
        )
        await socket.ask("agent.heartbeat")


async def test_an_answer_that_the_next_life_overtook_supersedes_its_own_socket_and_no_other(
    server: LocalSocketServer,
) -> None:
    blocked_registration = server.registry.blocked_registration = asyncio.Event()
    wanted = {"agent_id": "ide", "instance_id": "one"}
    async with server.dial() as older, server.dial() as newer:
        await older.send({"type": 0, "id": 1, "method": "agent.register", "params": wanted})
        await until(lambda: server.registry.blocked_registration is None)
        assert (await newer.ask("agent.register", **wanted))["epoch"] == 2
        blocked_registration.set()
        assert (await older.read_response(1))["result"]["epoch"] == 1
        assert await older.close_code() == 4409
        assert (await newer.ask("agent.heartbeat"))["epoch"] == 2


async def test_the_event_of_its_own_new_epoch_does_not_supersede_a_socket(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        server.registry.blocked = asyncio.Event()
        await socket.send(
            {"type": 0, "id": 9, "method": "agent.register", "params": {"agent_id": "ide", "instance_id": "one"}}
        )
        await until(lambda: any(each.postponed is not None for each in server.hub))
        server.watch.publish(EventKind.RECONNECTED, ALPHA, UUID(made["registration_id"]), 2)
        await until(lambda: any(each.postponed for each in server.hub))
        server.registry.blocked.set()
        assert (await socket.read_response(9))["result"]["epoch"] == 2
        assert (await socket.ask("agent.heartbeat"))["epoch"] == 2
        assert socket.notifications == []


@pytest.mark.parametrize("kind", [EventKind.INACTIVE, EventKind.DELETED, EventKind.DEREGISTERED])
async def test_a_lost_lease_closes_the_socket(server: LocalSocketServer, kind: EventKind) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        server.watch.publish(kind, ALPHA, UUID(made["registration_id"]), 1)
        assert (await socket.wait_for_notification("agent.lease_lost"))["registration_id"] == made["registration_id"]
        assert await socket.close_code() == 4408


async def test_a_heartbeat_that_comes_too_late_is_told_to_register(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        server.registry.instances.clear()
        error = await expect_refused(socket.ask("agent.heartbeat"))
        assert (error.code, error.reason) == (4008, "must_register")
        assert await socket.close_code() == 4408
        assert made


async def test_a_heartbeat_of_an_older_epoch_is_superseded_and_changes_nothing(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.ask("agent.register", agent_id="ide", instance_id="one")
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        error = await expect_refused(socket.ask("agent.heartbeat", registration_id=made["registration_id"], epoch=1))
        assert (error.code, error.reason) == (4008, "superseded")
        await socket.ask("agent.heartbeat", registration_id=made["registration_id"], epoch=2)


async def test_a_resume_token_finds_the_registration_without_an_id(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one", capabilities=["a"], zone="z")
        socket.abort()
    await until(lambda: server.registry.ended == [("disconnect", UUID(made["registration_id"]))])
    async with server.dial() as socket:
        again = await socket.ask("agent.register", resume_token=made["resume_token"], zone="y")
        assert (again["registration_id"], again["instance_id"], again["is_new"]) == (
            made["registration_id"],
            "one",
            False,
        )
    row = server.registry.instances[UUID(made["registration_id"])]
    assert (row["capabilities"], row["zone"]) == (("a",), "y")


async def test_a_resume_token_is_worth_nothing_to_another_tenant(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
    async with server.dial(key="beta-key") as socket:
        error = await expect_refused(socket.ask("agent.register", resume_token=made["resume_token"]))
        assert error.reason == "forbidden"
        assert await socket.close_code() == 4403
    async with server.dial(key="both-key") as socket:
        error = await expect_refused(
            socket.ask("agent.register", resume_token=made["resume_token"], tenant_id=str(BETA))
        )
        assert (error.code, error.field) == (4005, "resume_token")
        error = await expect_refused(socket.ask("agent.register", resume_token=made["resume_token"], agent_id="other"))
        assert (error.code, error.field) == (4005, "agent_id")


@pytest.mark.parametrize(
    ("code", "what"), [(1000, "deregister"), (1001, "deregister"), (1011, "disconnect"), (4000, "disconnect")]
)
async def test_a_goodbye_deregisters_and_anything_else_keeps_a_grace(
    server: LocalSocketServer, code: int, what: str
) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide")
        await socket.close(code)
    await until(lambda: server.registry.ended)
    assert server.registry.ended == [(what, UUID(made["registration_id"]))]


async def test_a_socket_that_breaks_off_keeps_a_grace(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide")
        socket.abort()
    await until(lambda: server.registry.ended)
    assert server.registry.ended == [("disconnect", UUID(made["registration_id"]))]
