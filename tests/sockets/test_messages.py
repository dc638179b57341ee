"""Answers to messages, valid and invalid, single and in batches."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from network.websocket_client import expect_refused
from servers.local_socket_server import ALPHA, LocalSocketServer, local_socket_server

from robyn_server.core.errors import Unavailable
from robyn_server.core.registry.instances import EventKind
from robyn_server.sockets.methods.table import METHODS


async def test_an_unknown_method_is_4004_and_lists_the_known(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        error = await expect_refused(socket.ask("agent.dance"))
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
        ("agent.deregister", {"reason": "x" * 1025}, "reason"),
        ("agent.update", {"instance_id": "x"}, "instance_id"),
        ("agent.list", {"limit": 0}, "limit"),
        ("agent.list", {"limit": 101}, "limit"),
        ("agent.list", {"status": "stale"}, "status"),
        ("agent.discover", {"status": "active"}, "status"),
        ("agent.discover", {"free_slots": -1}, "free_slots"),
        ("agent.watch", {"after": -1}, "after"),
        ("agent.unwatch", {}, "watch_id"),
        ("agent.unwatch", {"watch_id": "watch-99"}, "watch_id"),
        ("agent.register", {"agent_id": "ide", "runtime_config": {"a": ["\0"]}}, "runtime_config.a.0"),
        ("ping", {"x": 1}, "x"),
    ],
)
async def test_a_wrong_parameter_is_4005_and_named(
    server: LocalSocketServer, method: str, params: dict[str, object], field: str
) -> None:
    async with server.dial() as socket:
        error = await expect_refused(socket.ask(method, **params))
        assert (error.code, error.field) == (4005, field)
        assert await socket.ask("ping") == {"pong": True}


async def test_an_update_of_nothing_is_refused(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        assert (await expect_refused(socket.ask("agent.update"))).code == 4005


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
async def test_strange_frames_are_errors_and_the_socket_lives(server: LocalSocketServer, frame: str | bytes) -> None:
    async with server.dial() as socket:
        answer = await socket.roundtrip(frame)
        assert answer["type"] == 3 and answer["error"]["code"] == 4000
        assert await socket.ask("ping") == {"pong": True}


async def test_a_number_beyond_all_bounds_is_a_wrong_parameter(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        answer = await socket.roundtrip(
            '{"type":0,"id":1,"method":"agent.heartbeat","params":{"epoch":' + "9" * 400 + "}}"
        )
        assert answer["error"]["code"] in {4000, 4005}


async def test_a_message_in_fragments_is_one_message(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.socket.send(['{"type":0,"id":"1",', '"method":', '"ping"}'])
        assert (await socket.read())["result"] == {"pong": True}


async def test_a_message_over_64_kib_closes_with_1009(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.send('{"type":0,"id":"1","method":"ping","params":{}' + " " * 65_536 + "}")
        assert await socket.close_code() == 1009
    async with server.dial() as socket:
        with contextlib.suppress(Exception):
            await socket.socket.send([" " * 30_000] * 3)
        assert await socket.close_code() == 1009


async def test_ping_of_the_envelope_and_pong(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        assert await socket.roundtrip({"type": 4, "id": "p-1"}) == {"type": 5, "id": "p-1"}
        await socket.send({"type": 5, "id": "p-2"})
        assert await socket.ask("ping") == {"pong": True}


async def test_a_notification_is_done_and_not_answered(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.send(
            {"type": 2, "method": "agent.register", "params": {"agent_id": "ide", "instance_id": "quiet"}}
        )
        await socket.send({"type": 2, "method": "agent.dance"})
        listed = await socket.ask("agent.status")
        assert [each["instance_id"] for each in listed["registrations"]] == ["quiet"]


async def test_a_batch_is_answered_by_one_message_in_its_order(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
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


async def test_jsonrpc_is_answered_in_kind(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
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
        server.watch.publish(EventKind.RECONNECTED, ALPHA, next(iter(server.registry.instances)), 2)
        assert (await socket.read())["jsonrpc"] == "2.0"


async def test_the_database_being_away_is_a_retryable_4003(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        server.registry.error = Unavailable("The database cannot be reached; try again")
        error = await expect_refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.error["retryable"]) == (4003, True)
        server.registry.error = RuntimeError("a secret")
        error = await expect_refused(socket.ask("agent.register", agent_id="ide"))
        assert error.code == 4003 and "secret" not in str(error.error)
        server.registry.error = None
        await socket.ask("agent.register", agent_id="ide")


async def test_a_request_that_takes_too_long_is_cancelled() -> None:
    async with local_socket_server(request_seconds=0.1) as server, server.dial() as socket:
        server.registry.blocked = asyncio.Event()
        error = await expect_refused(socket.ask("agent.register", agent_id="ide"))
        assert (error.code, error.reason, error.error["retryable"]) == (4006, "cancelled", True)
