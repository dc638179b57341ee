"""Watches of the TypeScript client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from client_events import compact_events
from network.faulty_proxy import WebSocketProxy
from node_client import NodeClient, NodeError
from registry_server import RegistryServer

Start = Callable[..., Awaitable[NodeClient]]


async def test_existing_instances_come_first_and_then_changes(server: RegistryServer, opened: Start) -> None:
    client = await opened()
    async with (
        server.instance("ts-seen", capabilities=["ts-seeing"]) as there,
        client.watching(agentId="ts-seen", capabilities=["ts-seeing"]) as events,
    ):
        (first,) = await events.take()
        assert (first["kind"], first["registrationId"]) == ("listed", there.registration_id)
        assert "at" not in first
        async with (
            server.instance("ts-unseen", capabilities=["ts-seeing"]),
            server.instance("ts-seen"),
            server.instance("ts-seen", capabilities=["ts-seeing"]) as newcomer,
        ):
            found = await events.take_until("registered", registrationId=newcomer.registration_id)
            ids = {each["registrationId"] for each in found}
            assert ids <= {there.registration_id, newcomer.registration_id}
            assert found[-1]["position"] > first["position"] and found[-1]["at"].endswith("Z")
        assert (await events.take())[0]["kind"] == "deregistered"


async def test_a_watch_resumes_after_a_broken_connection_without_a_gap(
    server: RegistryServer, opened: Start, proxy: WebSocketProxy
) -> None:
    client = await opened(url=proxy.url)
    async with client.watching(agentId="ts-gap", listed=False) as events:
        await client.call("discover", "nothing")  # the server answers in order, so the watch is open
        async with server.instance("ts-gap") as one:
            assert (await events.take())[0]["kind"] == "registered"
            proxy.is_refusing = True
            proxy.cut()
            await one.update(zone="a")
            await one.update(zone="b")
            await one.drain()
        proxy.is_refusing = False
        found = await events.take(4)
        assert [each["kind"] for each in found] == ["updated", "updated", "draining", "deregistered"]
        assert [each["position"] for each in found] == sorted(each["position"] for each in found)
    async with client.watching(agentId="ts-gap", after=found[1]["position"]) as events:
        assert [each["kind"] for each in await events.take(2)] == ["draining", "deregistered"]


async def test_an_instance_that_ends_at_sigterm_drains_before_it_deregisters(
    server: RegistryServer, opened: Start
) -> None:
    # It ends at once, as an instance without work does.
    client = await opened()
    async with client.watching(agentId="ts-hasty") as events:
        me = await opened("ts-hasty", drainOnSigterm=True)
        await events.take_until("registered")
        draining = me.begin("untilDraining")
        me.kill(15)
        await draining
        await me.call("close")
        found = await events.take(2)
        assert [(each["kind"], each["instance"]["statusReason"]) for each in found] == [
            ("draining", "SIGTERM"),
            ("deregistered", "done"),
        ]


async def test_when_events_are_compacted_the_watch_resets_and_lists_again(
    server: RegistryServer, opened: Start, proxy: WebSocketProxy
) -> None:
    client = await opened(url=proxy.url)
    async with server.instance("ts-compact") as there, client.watching(agentId="ts-compact") as events:
        assert (await events.take())[0]["kind"] == "listed"
        proxy.is_refusing = True
        proxy.cut()
        await there.update(zone="z")
        await compact_events(server, there.registration_id)
        proxy.is_refusing = False
        while (event := (await events.take())[0])["kind"] != "reset":
            pass
        (listed,) = await events.take()
        assert "instance" not in event and listed["registrationId"] == there.registration_id
        assert (listed["kind"], listed["instance"]["zone"]) == ("listed", "z")
        await there.update(zone="y")
        await events.take_until("updated", zone="y")


async def test_a_watch_ends_with_its_client(opened: Start) -> None:
    client = await opened()
    async with client.watching(agentId="ts-nobody") as events:
        await client.call("discover", "nothing")
        await client.call("close")
        assert await events.end is None
    assert await client.stopped() == 0


async def test_a_misspelt_filter_is_a_type_error(opened: Start) -> None:
    client = await opened()
    with pytest.raises(NodeError, match="capabilty") as misspelt:
        await client.call("discover", "x", {"capabilty": "x"})
    assert misspelt.value.name == "TypeError"
    with pytest.raises(NodeError, match="health"):
        async with client.watching(health="healthy") as events:
            await events.end
