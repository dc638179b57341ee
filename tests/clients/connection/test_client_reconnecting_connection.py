"""Lost connections, lost replies and lost servers."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from agenthall_client import AgentInstance, Refused, State, Superseded
from deadlines import DEADLINE
from network.faulty_proxy import WebSocketProxy
from registry_server import RegistryServer
from servers.live_server import until


async def reached(me: AgentInstance, epoch: int) -> None:
    await until(lambda: me.epoch == epoch and me.state in {State.ACTIVE, State.DRAINING})


async def test_a_killed_sockets_process_costs_an_epoch_and_nothing_else(server: RegistryServer) -> None:
    events = []

    async def follow(me: AgentInstance) -> None:
        async for event in me.watch(agent_id="survivor"):
            events.append(event)  # noqa: PERF401 - as they come

    async with server.instance("survivor", capabilities=["surviving"]) as me:
        before = me.registration_id
        watching = asyncio.create_task(follow(me))
        await until(lambda: events)
        server.sockets.kill()
        await until(lambda: me.state == State.RECONNECTING)
        server.sockets.popen.wait()
        server.sockets.start()
        await reached(me, 2)
        assert me.registration_id == before and not me.registration.is_new
        assert len(await me.discover("surviving")) == 1
        await until(lambda: events[-1].kind == "reconnected")
        assert events[0].kind == "listed" and events[-1].instance["epoch"] == 2
        assert [each.kind for each in events].count("reconnected") == 1
    await watching


async def test_a_lost_reply_costs_no_epoch(server: RegistryServer, proxy: WebSocketProxy) -> None:
    """Values that change meanwhile do not make another registration of it."""
    proxy.replies_to_drop = 2
    health = itertools.cycle(["starting", "healthy", "degraded"]).__next__
    async with server.instance("repeater", url=proxy.url, health=health) as me:
        assert (proxy.dropped, me.epoch, me.registration.is_new) == (2, 1, True)
        assert (await server.get_instance(me.registration_id))["epoch"] == 1


async def test_a_half_open_connection_is_detected_and_replaced(server: RegistryServer, proxy: WebSocketProxy) -> None:
    async with server.instance("half", url=proxy.url) as me:
        proxy.freeze()
        await reached(me, 2)
        assert proxy.accepted == 2
        assert (await server.get_instance(me.registration_id))["epoch"] == 2


async def test_an_instance_superseded_while_disconnected_does_not_register_again(
    server: RegistryServer, proxy: WebSocketProxy
) -> None:
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Superseded):  # noqa: PT012 - it comes into the body
            async with server.instance("rival", instance_id="seat", url=proxy.url) as older:
                proxy.is_refusing = True
                proxy.cut()
                await until(lambda: older.state == State.RECONNECTING)
                async with server.instance("rival", instance_id="seat") as newer:
                    proxy.is_refusing = False
                    try:
                        await asyncio.Event().wait()
                    finally:
                        assert (newer.epoch, newer.state) == (2, State.ACTIVE)
                        assert (await server.get_instance(newer.registration_id))["epoch"] == 2


async def test_a_draining_instance_registers_as_draining_after_a_broken_connection(
    server: RegistryServer, proxy: WebSocketProxy
) -> None:
    async with server.instance("patient", url=proxy.url) as me:
        await me.drain("deploy")
        proxy.cut()
        await reached(me, 2)
        shown = await server.get_instance(me.registration_id)
        assert (shown["registration_status"], shown["status_reason"]) == ("draining", "deploy")


async def test_an_instance_registers_again_when_its_registration_is_deleted(server: RegistryServer) -> None:
    async with server.instance("evicted") as me:
        ended = await server.http.delete(f"/agents/instances/{me.registration_id}", params={"epoch": 1})
        assert ended.status_code == 204, ended.text
        await reached(me, 2)

        async def is_back() -> bool:
            return (await server.get_instance(me.registration_id))["registration_status"] == "active"

        await until(is_back)


async def test_an_instance_with_a_watch_registers_again_when_its_registration_is_deleted(
    server: RegistryServer,
) -> None:
    kinds = []

    async def follow(me: AgentInstance) -> None:
        async for event in me.watch(agent_id="watcher"):
            kinds.append(event.kind)  # noqa: PERF401 - as they come

    async with server.instance("watcher") as me:
        watching = asyncio.create_task(follow(me))
        await until(lambda: "listed" in kinds)
        await server.http.delete(f"/agents/instances/{me.registration_id}", params={"epoch": 1})
        await reached(me, 2)
        await until(lambda: kinds[-1] == "reconnected")
    await watching


async def test_a_refusal_by_a_proxy_is_final_only_on_the_first_connection(
    server: RegistryServer, proxy: WebSocketProxy
) -> None:
    nothing_here = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    async with server.instance("behind", url=proxy.url) as me:
        proxy.canned_response = nothing_here
        proxy.cut()
        await until(lambda: proxy.accepted >= 3)
        proxy.canned_response = None
        await reached(me, 2)
    proxy.canned_response = nothing_here
    with pytest.raises(Refused, match="404"):
        async with server.instance("behind", url=proxy.url):
            pass


async def test_a_request_waits_for_the_next_connection(server: RegistryServer, proxy: WebSocketProxy) -> None:
    async with server.client(url=proxy.url) as client:
        proxy.cut()
        assert await client.discover("nothing of the kind") == []
        assert proxy.accepted == 2


async def test_an_instance_returns_to_a_restarted_server(server: RegistryServer) -> None:
    async with server.instance("loyal") as me:
        server.sockets.kill(15)
        await until(lambda: server.sockets.popen.poll() is not None)
        server.sockets.start()
        await reached(me, 2)
