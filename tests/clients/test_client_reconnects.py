"""What the client does when connections, answers and servers are lost."""

from __future__ import annotations

import asyncio

import pytest
from agenthall_client import AgentInstance, Refused, State, Superseded
from cut_proxy import Proxy
from live_server import until
from registry_place import Place


async def reached(me: AgentInstance, epoch: int) -> None:
    await until(lambda: me.epoch == epoch and me.state in {State.ACTIVE, State.DRAINING})


async def test_a_killed_sockets_process_costs_an_epoch_and_nothing_else(place: Place) -> None:
    events = []

    async def follow(me: AgentInstance) -> None:
        async for event in me.watch(agent_id="survivor"):
            events.append(event)  # noqa: PERF401 - as they come

    async with place.instance("survivor", capabilities=["surviving"]) as me:
        before = me.registration_id
        watching = asyncio.create_task(follow(me))
        await until(lambda: events)
        place.sockets.kill()
        await until(lambda: me.state == State.RECONNECTING)
        place.sockets.popen.wait()
        place.sockets.start()
        await reached(me, 2)
        assert me.registration_id == before and not me.registration.is_new
        assert len(await me.discover("surviving")) == 1
        await until(lambda: events[-1].kind == "reconnected")
        assert events[0].kind == "listed" and events[-1].instance["epoch"] == 2
        assert [each.kind for each in events].count("reconnected") == 1
    await watching


async def test_an_answer_that_is_lost_costs_no_epoch(place: Place, proxy: Proxy) -> None:
    proxy.answers_to_swallow = 2
    async with place.instance("repeater", url=proxy.url) as me:
        assert (proxy.swallowed, me.epoch, me.registration.is_new) == (2, 1, True)
        assert (await place.shown(me.registration_id))["epoch"] == 1


async def test_a_half_open_connection_is_noticed_and_replaced(place: Place, proxy: Proxy) -> None:
    async with place.instance("half", url=proxy.url) as me:
        proxy.freeze()
        await reached(me, 2)
        assert proxy.accepted == 2
        assert (await place.shown(me.registration_id))["epoch"] == 2


async def test_who_was_replaced_while_away_does_not_fight(place: Place, proxy: Proxy) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(Superseded):  # noqa: PT012 - it comes into the body
            async with place.instance("rival", instance_id="seat", url=proxy.url) as older:
                proxy.is_closed = True
                proxy.cut()
                await until(lambda: older.state == State.RECONNECTING)
                async with place.instance("rival", instance_id="seat") as newer:
                    proxy.is_closed = False
                    try:
                        await asyncio.Event().wait()
                    finally:
                        assert (newer.epoch, newer.state) == (2, State.ACTIVE)
                        assert (await place.shown(newer.registration_id))["epoch"] == 2


async def test_who_was_draining_drains_after_a_broken_connection(place: Place, proxy: Proxy) -> None:
    async with place.instance("patient", url=proxy.url) as me:
        await me.drain("deploy")
        proxy.cut()
        await reached(me, 2)
        assert (await place.shown(me.registration_id))["registration_status"] == "draining"


async def test_a_registration_that_was_ended_elsewhere_is_made_anew(place: Place) -> None:
    async with place.instance("evicted") as me:
        ended = await place.http.delete(f"/agents/instances/{me.registration_id}", params={"epoch": 1})
        assert ended.status_code == 204, ended.text
        await reached(me, 2)

        async def is_back() -> bool:
            return (await place.shown(me.registration_id))["registration_status"] == "active"

        await until(is_back)


async def test_it_is_made_anew_also_on_a_connection_that_a_watch_keeps_open(place: Place) -> None:
    kinds = []

    async def follow(me: AgentInstance) -> None:
        async for event in me.watch(agent_id="watcher"):
            kinds.append(event.kind)  # noqa: PERF401 - as they come

    async with place.instance("watcher") as me:
        watching = asyncio.create_task(follow(me))
        await until(lambda: "listed" in kinds)
        await place.http.delete(f"/agents/instances/{me.registration_id}", params={"epoch": 1})
        await reached(me, 2)
        await until(lambda: kinds[-1] == "reconnected")
    await watching


async def test_what_stands_before_the_server_may_say_anything_while_that_restarts(place: Place, proxy: Proxy) -> None:
    nothing_here = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    async with place.instance("behind", url=proxy.url) as me:
        proxy.says_instead = nothing_here
        proxy.cut()
        await until(lambda: proxy.accepted >= 3)
        proxy.says_instead = None
        await reached(me, 2)
    proxy.says_instead = nothing_here
    with pytest.raises(Refused, match="404"):
        async with place.instance("behind", url=proxy.url):
            pass


async def test_a_question_waits_for_the_next_connection(place: Place, proxy: Proxy) -> None:
    async with place.client(url=proxy.url) as client:
        proxy.cut()
        assert await client.discover("nothing of the kind") == []
        assert proxy.accepted == 2


async def test_a_restarting_server_is_come_back_to(place: Place) -> None:
    async with place.instance("loyal") as me:
        place.sockets.kill(15)
        await until(lambda: place.sockets.popen.poll() is not None)
        place.sockets.start()
        await reached(me, 2)
