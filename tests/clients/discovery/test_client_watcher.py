"""Watches of the client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from agenthall_client import Event
from client_events import compact_events
from deadlines import DEADLINE
from network.faulty_proxy import WebSocketProxy
from registry_server import RegistryServer


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(DEADLINE):
        return [await anext(events) for _ in range(count)]


async def take_until(events: AsyncIterator[Event], kind: str, **instance: object) -> list[Event]:
    """Events up to the first of that kind whose instance has these fields. A listed instance may appear again."""
    found: list[Event] = []
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            found.append(event)
            if event.kind == kind and instance.items() <= event.instance.items():
                return found
    raise AssertionError(found)


async def test_existing_instances_come_first_and_then_changes(server: RegistryServer) -> None:
    async with (
        server.instance("seen", capabilities=["seeing"]) as there,
        server.client() as client,
        contextlib.aclosing(client.watch(agent_id="seen", capabilities=["seeing"])) as events,
    ):
        (first,) = await take(events, 1)
        assert (first.kind, first.registration_id, first.at) == ("listed", there.registration_id, None)
        async with (
            server.instance("unseen", capabilities=["seeing"]),
            server.instance("seen"),
            server.instance("seen", capabilities=["seeing"]) as newcomer,
        ):
            found = await take_until(events, "registered", registration_id=newcomer.registration_id)
            assert {each.registration_id for each in found} <= {there.registration_id, newcomer.registration_id}
            assert found[-1].position > first.position and found[-1].at is not None
        assert (await take(events, 1))[0].kind == "deregistered"


async def test_a_watch_resumes_after_a_broken_connection_without_a_gap(
    server: RegistryServer, proxy: WebSocketProxy
) -> None:
    async with server.client(url=proxy.url) as client:
        async with contextlib.aclosing(client.watch(agent_id="gap", listed=False)) as events:
            first = asyncio.ensure_future(anext(events))
            async with server.instance("gap") as one:
                assert (await first).kind == "registered"
                proxy.cut()
                proxy.is_refusing = True
                await one.update(zone="a")
                await one.update(zone="b")
                await one.drain()
            proxy.is_refusing = False
            found = await take(events, 4)
            assert [each.kind for each in found] == ["updated", "updated", "draining", "deregistered"]
            assert [each.position for each in found] == sorted(each.position for each in found)
        async with contextlib.aclosing(client.watch(agent_id="gap", after=found[1].position)) as events:
            assert [each.kind for each in await take(events, 2)] == ["draining", "deregistered"]


async def test_an_instance_that_ends_at_sigterm_drains_before_it_deregisters(server: RegistryServer) -> None:
    # It ends at once, as an instance without work does.
    async with (
        server.client() as client,
        contextlib.aclosing(client.watch(agent_id="hasty", listed=False)) as events,
    ):
        first = asyncio.ensure_future(anext(events))
        async with server.instance("hasty", drain_on_sigterm=True) as me:
            await first
            me._on_sigterm()
            await me.until_draining()
        found = await take(events, 2)
        assert [(each.kind, each.instance["status_reason"]) for each in found] == [
            ("draining", "SIGTERM"),
            ("deregistered", "done"),
        ]


async def test_when_events_are_compacted_the_watch_resets_and_lists_again(
    server: RegistryServer, proxy: WebSocketProxy
) -> None:
    async with (
        server.instance("compact") as there,
        server.client(url=proxy.url) as client,
        contextlib.aclosing(client.watch(agent_id="compact")) as events,
    ):
        assert (await take(events, 1))[0].kind == "listed"
        proxy.is_refusing = True
        proxy.cut()
        await there.update(zone="z")
        await compact_events(server, there.registration_id)
        proxy.is_refusing = False
        *_, reset = await take_until(events, "reset")
        (listed,) = await take(events, 1)
        assert (reset.kind, listed.kind, listed.registration_id) == ("reset", "listed", there.registration_id)
        assert listed.instance["zone"] == "z"
        await there.update(zone="y")
        await take_until(events, "updated", zone="y")


async def test_a_slow_consumer_gets_all_events(server: RegistryServer) -> None:
    async with server.client() as client, server.instance("busy") as busy:
        client._watcher._max_buffered = 3
        async with contextlib.aclosing(client.watch(agent_id="busy")) as events:
            await take(events, 1)
            for number in range(12):
                await busy.update(zone=f"z{number}")
            found = await take_until(events, "updated", zone="z11")
            updates = [each for each in found if each.kind == "updated"]
            assert [each.instance["zone"] for each in updates] == [f"z{number}" for number in range(12)]


async def test_a_watch_ends_with_its_client(server: RegistryServer) -> None:
    async with server.client() as client:
        ending = asyncio.ensure_future(_collect(client.watch(agent_id="nobody")))
        await client.discover("nothing")
    async with asyncio.timeout(DEADLINE):
        assert await ending == []


async def _collect(events: AsyncIterator[Event]) -> list[Event]:
    return [each async for each in events]
