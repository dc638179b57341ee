"""The change feed as the client tells it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
from agenthall_client import Event
from cut_proxy import Proxy
from registry_place import Place

DEADLINE = 20.0


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(DEADLINE):
        return [await anext(events) for _ in range(count)]


async def up_to(events: AsyncIterator[Event], kind: str, **instance: object) -> list[Event]:
    """The next events, to the first of that kind whose instance is so. What was listed may be told as an event, too."""
    found: list[Event] = []
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            found.append(event)
            if event.kind == kind and instance.items() <= event.instance.items():
                return found
    raise AssertionError(found)


async def test_first_comes_what_is_there_and_then_what_happens(place: Place) -> None:
    async with (
        place.instance("seen", capabilities=["seeing"]) as there,
        place.client() as client,
        contextlib.aclosing(client.watch(agent_id="seen", capabilities=["seeing"])) as events,
    ):
        (first,) = await take(events, 1)
        assert (first.kind, first.registration_id, first.at) == ("listed", there.registration_id, None)
        async with (
            place.instance("unseen", capabilities=["seeing"]),
            place.instance("seen"),
            place.instance("seen", capabilities=["seeing"]) as newcomer,
        ):
            found = await up_to(events, "registered", registration_id=newcomer.registration_id)
            assert {each.registration_id for each in found} <= {there.registration_id, newcomer.registration_id}
            assert found[-1].position > first.position and found[-1].at is not None
        assert (await take(events, 1))[0].kind == "deregistered"


async def test_a_watch_goes_on_after_a_broken_connection_without_a_gap(place: Place, proxy: Proxy) -> None:
    async with place.client(url=proxy.url) as client:
        async with contextlib.aclosing(client.watch(agent_id="gap", listed=False)) as events:
            first = asyncio.ensure_future(anext(events))
            async with place.instance("gap") as one:
                assert (await first).kind == "registered"
                proxy.cut()
                proxy.is_closed = True
                await one.update(zone="a")
                await one.update(zone="b")
                await one.drain()
            proxy.is_closed = False
            found = await take(events, 4)
            assert [each.kind for each in found] == ["updated", "updated", "draining", "deregistered"]
            assert [each.position for each in found] == sorted(each.position for each in found)
        async with contextlib.aclosing(client.watch(agent_id="gap", after=found[1].position)) as events:
            assert [each.kind for each in await take(events, 2)] == ["draining", "deregistered"]


async def test_who_leaves_at_sigterm_is_heard_to_drain_first(place: Place) -> None:
    """It goes at once, as one without work would: nobody is sent to it in between."""
    async with (
        place.client() as client,
        contextlib.aclosing(client.watch(agent_id="hasty", listed=False)) as events,
    ):
        first = asyncio.ensure_future(anext(events))
        async with place.instance("hasty", drain_on_sigterm=True) as me:
            await first
            me._sigterm()
            await me.until_draining()
        found = await take(events, 2)
        assert [(each.kind, each.instance["status_reason"]) for each in found] == [
            ("draining", "SIGTERM"),
            ("deregistered", "done"),
        ]


async def test_where_events_are_gone_the_list_comes_again(place: Place, proxy: Proxy) -> None:
    async with (
        place.instance("compact") as there,
        place.client(url=proxy.url) as client,
        contextlib.aclosing(client.watch(agent_id="compact")) as events,
    ):
        assert (await take(events, 1))[0].kind == "listed"
        proxy.is_closed = True
        proxy.cut()
        await there.update(zone="z")
        await _forget_events(place, there.registration_id)
        proxy.is_closed = False
        *_, reset = await up_to(events, "reset")
        (listed,) = await take(events, 1)
        assert (reset.kind, listed.kind, listed.registration_id) == ("reset", "listed", there.registration_id)
        assert listed.instance["zone"] == "z"
        await there.update(zone="y")
        await up_to(events, "updated", zone="y")


async def test_who_takes_events_slowly_gets_all_of_them(place: Place) -> None:
    async with place.client() as client, place.instance("busy") as busy:
        client._watches._most_waiting = 3
        async with contextlib.aclosing(client.watch(agent_id="busy")) as events:
            await take(events, 1)
            for number in range(12):
                await busy.update(zone=f"z{number}")
            found = await up_to(events, "updated", zone="z11")
            updates = [each for each in found if each.kind == "updated"]
            assert [each.instance["zone"] for each in updates] == [f"z{number}" for number in range(12)]


async def test_a_watch_ends_with_its_client(place: Place) -> None:
    async with place.client() as client:
        ending = asyncio.ensure_future(_all(client.watch(agent_id="nobody")))
        await client.discover("nothing")
    async with asyncio.timeout(DEADLINE):
        assert await ending == []


async def _all(events: AsyncIterator[Event]) -> list[Event]:
    return [each async for each in events]


async def _forget_events(place: Place, registration_id: str | None) -> None:
    connection = await asyncpg.connect(place.database)
    async with asyncio.timeout(DEADLINE):
        while not await connection.fetchval(
            "select count(*) from mcp.agent_events where registration_id = $1 and kind = 'updated'", registration_id
        ):
            await asyncio.sleep(0.02)
    await connection.execute("select mcp.compact_agent_events('0 seconds', 0)")
    await connection.close()
