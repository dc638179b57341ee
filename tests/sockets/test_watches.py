"""Watches of a socket."""

from __future__ import annotations

from uuid import uuid4

import orjson
from network.websocket_client import expect_refused
from servers.live_server import until
from servers.local_socket_server import ALPHA, BETA, LocalSocketServer

from robyn_server.core.registry.instances import EventKind


async def test_a_watch_tells_events_after_its_answer(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        watched = await socket.ask("agent.watch", agent_id="ide")
        assert watched == {"watch_id": "watch-1", "position": server.watch.position}
        registration = uuid4()
        await until(lambda: len(server.watch.subscribers) > 1)
        server.watch.publish(EventKind.REGISTERED, BETA, uuid4(), 1)
        server.watch.publish(EventKind.REGISTERED, ALPHA, registration, 1)
        event = await socket.wait_for_notification("agent.event")
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
    await until(lambda: len(server.watch.subscribers) == 1)


async def test_a_batch_has_no_more_watches_than_its_socket_may_have(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        asked = [{"type": 0, "id": n, "method": "agent.watch", "params": {}} for n in range(5)]
        answer = await socket.roundtrip({"type": 6, "id": "b", "messages": asked})
        assert [each["type"] for each in answer["messages"]] == [1, 1, 3, 3, 3]


async def test_watches_have_a_limit(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        for _ in range(2):
            await socket.ask("agent.watch")
        error = await expect_refused(socket.ask("agent.watch"))
        assert (error.code, error.reason) == (4002, "too_many_watches")
        answer = await socket.roundtrip(orjson.dumps({"type": 4, "id": 1}).decode())
        assert answer["type"] == 5
