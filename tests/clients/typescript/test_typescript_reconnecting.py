"""Lost connections, lost replies and lost servers of the TypeScript client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from network.faulty_proxy import WebSocketProxy
from node_client import NodeClient, NodeError
from registry_server import RegistryServer
from servers.live_server import until

Start = Callable[..., Awaitable[NodeClient]]


async def test_a_killed_sockets_process_costs_an_epoch_and_nothing_else(server: RegistryServer, opened: Start) -> None:
    me = await opened("ts-survivor", capabilities=["ts-surviving"])
    before = await me.call("registration")
    async with me.watching(agentId="ts-survivor") as events:
        await events.take()
        server.sockets.kill()
        await me.in_state("reconnecting")
        server.sockets.popen.wait()
        server.sockets.start()
        await me.reached(2)
        after = await me.call("registration")
        assert after["registrationId"] == before["registrationId"] and not after["isNew"]
        assert len(await me.call("discover", "ts-surviving")) == 1
        found = await events.take_until("reconnected", epoch=2)
        assert [each["kind"] for each in found].count("reconnected") == 1


async def test_a_lost_reply_costs_no_epoch(server: RegistryServer, start: Start, proxy: WebSocketProxy) -> None:
    """Values that change meanwhile do not make another registration of it."""
    proxy.replies_to_drop = 2
    me = await start("ts-repeater", url=proxy.url, callbacks={"health": ["starting", "healthy", "degraded"]})
    await me.call("open")
    registration = await me.call("registration")
    assert (proxy.dropped, registration["epoch"], registration["isNew"]) == (2, 1, True)
    assert (await server.get_instance(registration["registrationId"]))["epoch"] == 1


async def test_a_half_open_connection_is_detected_and_replaced(
    server: RegistryServer, opened: Start, proxy: WebSocketProxy
) -> None:
    me = await opened("ts-half", url=proxy.url)
    proxy.freeze()
    await me.reached(2)
    assert proxy.accepted == 2
    assert (await server.get_instance(await me.call("registrationId")))["epoch"] == 2


async def test_an_instance_superseded_while_disconnected_does_not_register_again(
    server: RegistryServer, opened: Start, proxy: WebSocketProxy
) -> None:
    older = await opened("ts-rival", instanceId="seat", url=proxy.url)
    proxy.is_refusing = True
    proxy.cut()
    await older.in_state("reconnecting")
    newer = await opened("ts-rival", instanceId="seat")
    proxy.is_refusing = False
    assert await older.ended() == "Superseded"
    assert (await newer.call("epoch"), await newer.call("state")) == (2, "active")
    assert (await server.get_instance(await newer.call("registrationId")))["epoch"] == 2


async def test_a_draining_instance_registers_as_draining_after_a_broken_connection(
    server: RegistryServer, opened: Start, proxy: WebSocketProxy
) -> None:
    me = await opened("ts-patient", url=proxy.url)
    await me.call("drain", "deploy")
    proxy.cut()
    await me.reached(2)
    shown = await server.get_instance(await me.call("registrationId"))
    assert (shown["registration_status"], shown["status_reason"]) == ("draining", "deploy")


async def test_an_instance_registers_again_when_its_registration_is_deleted(
    server: RegistryServer, opened: Start
) -> None:
    me = await opened("ts-evicted")
    registration_id = await me.call("registrationId")
    ended = await server.http.delete(f"/agents/instances/{registration_id}", params={"epoch": 1})
    assert ended.status_code == 204, ended.text
    await me.reached(2)

    async def is_back() -> bool:
        return (await server.get_instance(registration_id))["registration_status"] == "active"

    await until(is_back)


async def test_an_instance_with_a_watch_registers_again_when_its_registration_is_deleted(
    server: RegistryServer, opened: Start
) -> None:
    me = await opened("ts-watcher")
    async with me.watching(agentId="ts-watcher") as events:
        await events.take_until("listed")
        await server.http.delete(f"/agents/instances/{await me.call('registrationId')}", params={"epoch": 1})
        await me.reached(2)
        await events.take_until("reconnected")


async def test_a_refusal_by_a_proxy_is_final_only_on_the_first_connection(opened: Start, proxy: WebSocketProxy) -> None:
    nothing_here = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    me = await opened("ts-behind", url=proxy.url)
    proxy.canned_response = nothing_here
    proxy.cut()
    await until(lambda: proxy.accepted >= 3)
    proxy.canned_response = None
    await me.reached(2)
    proxy.canned_response = nothing_here
    with pytest.raises(NodeError, match="404") as failed:
        await opened("ts-behind", url=proxy.url)
    assert failed.value.name == "Refused"


async def test_retry_after_of_a_refused_handshake_is_respected(start: Start, proxy: WebSocketProxy) -> None:
    proxy.canned_response = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n"
    me = await start("ts-waiting", url=proxy.url, timing={"ready": 2, "backoffFirst": 0.01, "backoffMost": 0.01})
    with pytest.raises(NodeError, match="503"):
        await me.call("open")
    assert proxy.accepted == 1


async def test_a_request_waits_for_the_next_connection(opened: Start, proxy: WebSocketProxy) -> None:
    client = await opened(url=proxy.url)
    proxy.cut()
    assert await client.call("discover", "nothing of the kind") == []
    assert proxy.accepted == 2


async def test_an_instance_returns_to_a_restarted_server(server: RegistryServer, opened: Start) -> None:
    me = await opened("ts-loyal")
    server.sockets.kill(15)
    await until(lambda: server.sockets.popen.poll() is not None)
    server.sockets.start()
    await me.reached(2)
