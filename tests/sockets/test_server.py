"""The handshake, the limits and the closings: real sockets, some of them raw, on a fake registry."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import json
import socket as sockets
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from deadlines import DEADLINE
from network.websocket_client import Refused
from servers.live_server import until
from servers.local_socket_server import ALPHA, LocalSocketServer, local_socket_server
from websockets.exceptions import ConnectionClosed, InvalidStatus

from robyn_server.core.registry.instances import EventKind
from robyn_server.registry.leases.event_broker import SlowReader
from robyn_server.sockets.connection import Socket
from robyn_server.sockets.sessions.session import Session

pytestmark = pytest.mark.server

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: alpha-key\r\n\r\n"
)


async def refusal(server: LocalSocketServer, **options: Any) -> dict[str, Any]:
    """The problem with which the handshake is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with server.dial(**options):
            pass
    response = caught.value.response
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(response.body or b"{}")
    assert problem["status"] == response.status_code
    return problem


def frame(payload: bytes, opcode: int = 0x81) -> bytes:
    """A masked frame with a key of zeros. RFC 6455, section 5.2."""
    assert len(payload) < 126
    return bytes([opcode, 0x80 | len(payload)]) + bytes(4) + payload


async def raw(
    server: LocalSocketServer, *, window: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket that is spoken to byte by byte, its handshake done."""
    bare = sockets.socket()
    if window is not None:
        bare.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, window)
    bare.setblocking(False)
    await asyncio.get_running_loop().sock_connect(bare, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=bare, limit=1024)
    writer.write(UPGRADE.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"101" in head.split(b"\r\n")[0]
    return reader, writer


# the handshake


async def get(server: LocalSocketServer, path: str, **headers: str) -> tuple[int, Any]:
    def work() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    return await asyncio.to_thread(work)


async def test_probes_are_answered_over_plain_http(server: LocalSocketServer) -> None:
    assert await get(server, "/livez") == (200, b'{"ok":true}')
    assert await get(server, "/ok") == (200, b'{"ok":true}')
    assert (await get(server, "/ws"))[0] == 426
    status, body = await get(server, "/elsewhere")
    assert status == 404 and json.loads(body)["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/"])
async def test_sockets_open_at_the_root_and_at_ws(server: LocalSocketServer, path: str) -> None:
    async with server.dial(url=f"ws://127.0.0.1:{server.port}{path}") as socket:
        assert await socket.ask("ping") == {"pong": True}


async def test_a_wrong_key_is_401_before_the_socket_is_open(server: LocalSocketServer) -> None:
    assert (await refusal(server, key="wrong"))["code"] == "key_invalid"


async def test_the_header_names_the_organization(server: LocalSocketServer) -> None:
    async with server.dial(key="both-key", headers={"X-Organization-Id": str(ALPHA)}) as socket:
        assert (await socket.ask("agent.status"))["tenant_id"] == str(ALPHA)
        await socket.ask("agent.register", agent_id="ide")
    assert (await refusal(server, headers={"X-Organization-Id": str(UUID(int=9))}))["status"] == 403
    assert (await refusal(server, headers={"X-Organization-Id": "nonsense"}))["status"] == 400


async def test_a_header_that_is_there_twice_is_400(server: LocalSocketServer) -> None:
    with contextlib.closing(sockets.create_connection(("127.0.0.1", server.port))) as bare:
        text = UPGRADE.replace("X-API-Key: alpha-key", "X-API-Key: alpha-key\r\nX-API-Key: beta-key")
        bare.sendall(text.encode())
        assert b"400" in (await asyncio.to_thread(bare.recv, 100)).split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET //[ HTTP/1.1", 404),
        ("GET //evil.example/ws HTTP/1.1", 404),
        ("GET http://[ HTTP/1.1", 400),
        ("GET http://[::1/ws HTTP/1.1", 400),
        ("GET ? HTTP/1.1", 101),
        ("GET /ws?ticket=%ff HTTP/1.1", 401),
        ("GET /ws?ticket=%00 HTTP/1.1", 401),
        ("GET http://127.0.0.1/ws HTTP/1.1", 101),
        ("GET /ws HTTP/1.1\r\nOrigin: http://a.example\r\nOrigin: http://b.example", 400),
        ("GET /ws HTTP/1.1\r\nOrigin: http://\xe9.example", 400),
        ("GET /ws HTTP/1.1\r\nX-Organization-Id: \xe9", 400),
        ("GET /ws HTTP/1.1\r\nX-Forwarded-For: \xe9", 400),
        ("GET /ws HTTP/1.1\r\nHost: second", 400),
        ("GET /ws HTTP/1.1\r\nAuthorization: Bearer \xff", 400),
    ],
)
async def test_no_handshake_makes_an_error_of_the_server(server: LocalSocketServer, line: str, status: int) -> None:
    with contextlib.closing(sockets.create_connection(("127.0.0.1", server.port))) as bare:
        text = UPGRADE.replace(UPGRADE.split("\r\n", maxsplit=1)[0], line, 1)
        bare.sendall(text.encode("latin-1"))
        assert int((await asyncio.to_thread(bare.recv, 100)).split()[1]) == status


async def test_a_ticket_opens_one_socket(server: LocalSocketServer) -> None:
    server.tickets.issued["t-1"] = {"x-api-key": "alpha-key"}
    async with server.dial(key=None, url=f"{server.url}?ticket=t-1") as socket:
        assert (await socket.ask("agent.status"))["identity"] == "key:alpha"
    assert (await refusal(server, key=None, url=f"{server.url}?ticket=t-1"))["code"] == "ticket_invalid"


@pytest.mark.parametrize("query", ["api_key=alpha-key", "ticket=a&ticket=b", "token=x", "ticket=a&x=b", "&" * 20])
async def test_nothing_but_a_ticket_may_stand_in_the_address(server: LocalSocketServer, query: str) -> None:
    assert (await refusal(server, key=None, url=f"{server.url}?{query}"))["status"] == 400


async def test_the_subprotocol_is_offered_and_not_required(server: LocalSocketServer) -> None:
    for offered, chosen in ((["mcp.v1", "other"], "mcp.v1"), (["other"], None), (None, None)):
        async with server.dial(subprotocols=offered) as socket:
            assert socket.socket.subprotocol == chosen


async def test_pages_of_other_origins_are_refused() -> None:
    async with local_socket_server(origins="https://app.example") as server:
        async with server.dial(origin="https://app.example"):
            pass
        assert (await refusal(server, origin="https://evil.example"))["code"] == "origin_refused"
    async with local_socket_server(is_open=True) as open_place:
        async with open_place.dial(origin="http://localhost:5173", key=None):
            pass
        assert (await refusal(open_place, origin="https://evil.example", key=None))["code"] == "origin_refused"


# limits


async def test_who_says_nothing_is_closed() -> None:
    async with local_socket_server(first_message_seconds=0.2) as server:
        async with server.dial() as quiet, server.dial() as talker:
            await talker.ask("ping")
            assert await quiet.close_code() == 4401
            assert await talker.ask("ping") == {"pong": True}
        with contextlib.closing(sockets.create_connection(("127.0.0.1", server.port))) as bare:
            bare.settimeout(DEADLINE)
            bare.sendall(b"GET /ws HTTP/1.1\r\n")
            assert await asyncio.to_thread(bare.recv, 100) == b""


@pytest.mark.parametrize("said", ['{"type": 4, "id": 1}', "no JSON", '{"type": 0, "id": 1, "method": "ping"}'])
async def test_who_shows_no_credentials_is_closed_whatever_else_is_said(said: str) -> None:
    async with local_socket_server(first_message_seconds=0.3) as server, server.dial(key=None) as socket:
        await socket.send(said)
        assert await socket.close_code() == 4401


async def test_sockets_have_a_limit_for_each_principal_and_in_all() -> None:
    async with local_socket_server(sockets=3, sockets_per_principal=2) as server, contextlib.AsyncExitStack() as stack:
        open_ones = [await stack.enter_async_context(server.dial()) for _ in range(2)]
        for each in open_ones:
            await each.ask("ping")
        async with server.dial() as third:
            assert await third.close_code() == 4429
        async with server.dial(key=None) as third:
            with pytest.raises(Refused, match="too_many_sockets"):
                await third.ask("auth", api_key="alpha-key")
            assert await third.close_code() == 4429
        await until(lambda: len(server.hub) == 2)
        other = await stack.enter_async_context(server.dial(key="beta-key"))
        await other.ask("ping")
        async with server.dial(key="both-key") as fourth:
            assert await fourth.close_code() == 4429
        open_ones[0].abort()
        await until(lambda: len(server.hub) == 2)
        again = await stack.enter_async_context(server.dial())
        assert await again.ask("ping") == {"pong": True}
        assert server.hub.counts.refused == 2


async def test_too_many_messages_are_refused_and_who_goes_on_is_closed() -> None:
    async with local_socket_server(messages_per_second=0.001, burst_seconds=3000) as server, server.dial() as socket:
        for _ in range(3):
            await socket.ask("ping")
        with pytest.raises(Refused) as caught:
            await socket.ask("ping")
        assert (caught.value.code, caught.value.error["retryable"]) == (4002, True)
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20):
                await socket.send({"type": 4, "id": 1})
        assert await socket.close_code() == 4429


async def test_every_message_with_an_id_is_answered_above_the_rate() -> None:
    async with local_socket_server(messages_per_second=0.001, burst_seconds=20_000) as server, server.dial() as socket:
        for _ in range(20):
            await socket.ask("ping")
        for message in (
            {"type": 4, "id": "p-1"},
            {"type": 4},
            {"type": 0, "id": "r-1", "method": "ping"},
            {"type": 0, "id": "r-2", "colour": "red"},
            {"type": 6, "id": "b-1", "messages": [{"type": 4, "id": 1}, {"type": 4, "id": 2}]},
        ):
            answer = await socket.roundtrip(message)
            assert (answer["type"], answer["id"], answer["error"]["code"]) == (3, message.get("id"), 4002)
        rpc = [{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in (1, 2)]
        answers = await socket.roundtrip([*rpc, {"jsonrpc": "2.0", "method": "ping"}])
        assert [(each["id"], each["error"]["data"]["code"]) for each in answers] == [(1, 4002), (2, 4002)]
        for unanswered in (
            {"type": 5, "id": "p-2"},
            {"type": 2, "method": "ping"},
            [{"jsonrpc": "2.0", "method": "ping"}],
        ):
            await socket.send(unanswered)
        assert (await socket.roundtrip({"type": 4, "id": "last"}))["id"] == "last"


async def test_a_flood_of_pings_is_answered_and_closed() -> None:
    async with local_socket_server(messages_per_second=20) as server, server.dial() as socket:
        sent = 0
        with contextlib.suppress(ConnectionClosed):
            while sent < 2000:
                await socket.send({"type": 4, "id": (sent := sent + 1)})
        read = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                answer = await socket.read()
                assert answer["id"] == (read := read + 1) and answer["type"] in {3, 5}
        assert socket.socket.close_code == 4429 and read > 100


async def test_a_slow_reader_is_closed_and_nobody_waits_for_it() -> None:
    async with (
        local_socket_server(blocked_seconds=0.3, messages_per_second=100_000) as server,
        server.dial() as watcher,
    ):
        _, writer = await raw(server, window=4096)
        await watcher.ask("agent.watch")
        await until(lambda: len(server.hub) == 2)
        slow = next(each for each in server.hub if not each.watches)
        ask = json.dumps({"type": 0, "id": "x" * 60, "method": "p"}).encode()
        writer.write(frame(ask) * 20_000)
        await until(lambda: slow.socket.blocked_since is not None)
        server.watch.publish(EventKind.REGISTERED, ALPHA, UUID(int=1), 1)
        await watcher.wait_for_notification("agent.event")
        await until(lambda: slow.socket.close_sent == 4429)
        await until(lambda: len(server.hub) == 1)
        assert server.hub.counts.slow == 1
        assert await watcher.ask("ping") == {"pong": True}
        writer.transport.abort()


async def test_a_watcher_that_falls_behind_its_feed_is_closed() -> None:
    async with local_socket_server() as server, server.dial() as socket, server.dial() as other:
        await socket.ask("agent.watch")
        server.watch.fail(SlowReader())
        assert await socket.close_code() == 4429
        assert await other.ask("ping") == {"pong": True}


async def test_a_half_open_socket_is_noticed_and_a_quiet_one_is_not() -> None:
    async with local_socket_server(ping_after_seconds=0.2, silent_seconds=0.8) as server, server.dial() as quiet:
        await quiet.ask("ping")
        reader, writer = await raw(server)
        writer.write(frame(b'{"type":0,"id":1,"method":"agent.register","params":{"agent_id":"ide"}}'))
        await reader.readexactly(2)
        # from here on the peer answers nothing, not even pings, and closes nothing
        await until(lambda: server.registry.ended)
        assert server.registry.ended[0][0] == "disconnect"
        assert server.hub.counts.silent == 1
        assert await quiet.ask("ping") == {"pong": True}
        writer.transport.abort()


async def test_a_stuck_socket_that_is_silent_as_well_counts_as_slow() -> None:
    async with local_socket_server(
        ping_after_seconds=0.2, silent_seconds=0.8, blocked_seconds=60, messages_per_second=100_000
    ) as server:
        _, writer = await raw(server, window=4096)
        await until(lambda: len(server.hub) == 1)
        (stuck,) = server.hub
        writer.write(frame(json.dumps({"type": 0, "id": "x" * 60, "method": "p"}).encode()) * 20_000)
        await until(lambda: stuck.socket.blocked_since is not None)
        await until(lambda: len(server.hub) == 0)
        assert (server.hub.counts.slow, server.hub.counts.silent) == (1, 0)
        writer.transport.abort()


async def test_a_pause_of_the_server_is_not_taken_for_its_sockets_silence() -> None:
    async with local_socket_server() as server, server.dial() as socket:
        await socket.ask("ping")
        await until(lambda: server.monitor._checked_at is not None)
        assert server.monitor._checked_at is not None
        next(iter(server.hub)).socket.last_received_at -= 60
        server.monitor._checked_at -= 60
        for _ in range(5):
            await server.monitor.check()
        assert server.hub.counts.silent == 0
        assert await socket.ask("ping") == {"pong": True}


async def test_who_does_not_answer_a_close_is_cut_off() -> None:
    async with local_socket_server(close_seconds=0.2) as server:
        reader, writer = await raw(server)
        await until(lambda: len(server.hub) == 1)
        next(iter(server.hub)).close_after_reply(4401, "x")  # type: ignore[arg-type]
        await until(lambda: len(server.hub) == 0)
        assert (await reader.read(2))[0] == 0x88
        writer.transport.abort()


@pytest.mark.parametrize(
    ("bytes_sent", "code"),
    [
        (frame(b"\xff\xfe", 0x81), 1007),
        (frame(b"x", 0x83), 1002),
        (frame(b"x", 0xC1), 1002),
        (b"\x81\x01x", 1002),
        (b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + bytes(4), 1009),
    ],
)
async def test_broken_frames_close_the_socket_and_not_the_server(
    server: LocalSocketServer, bytes_sent: bytes, code: int
) -> None:
    reader, writer = await raw(server)
    writer.write(bytes_sent)
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read(4)
    assert answer[0] == 0x88 and int.from_bytes(answer[2:4]) == code
    writer.transport.abort()
    async with server.dial() as socket:
        assert await socket.ask("ping") == {"pong": True}


# the memory


async def _usual(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        await socket.ask("agent.watch")


async def _mistaken(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        for method, params in [("agent.heartbeat", {"load": 3}), ("no.such", {}), ("agent.status", {"auth": 3})]:
            with pytest.raises(Refused):
                await socket.ask(method, **params)
        assert (await socket.roundtrip("not json {"))["type"] == 3
        assert (await socket.roundtrip({"type": 77, "id": 1}))["type"] == 3


async def _cut(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        socket.socket.transport.abort()


async def _broken(server: LocalSocketServer) -> None:
    _, writer = await raw(server)
    writer.write(frame(b"x", 0x83))
    writer.transport.abort()


@pytest.mark.parametrize("visit", [_usual, _mistaken, _cut, _broken])
async def test_a_closed_socket_leaves_nothing_for_the_garbage_collector(
    visit: Callable[[LocalSocketServer], Any],
) -> None:
    """It would have to look through what all the open ones have, and everybody stands still for that."""
    async with local_socket_server() as server:
        gc.collect()
        gc.disable()
        before = _alive()  # other tests' errors may hold some
        try:
            for _ in range(5):
                await visit(server)
            await until(lambda: len(server.hub) == 0)
            await until(lambda: _alive() == before)
        finally:
            gc.enable()


def _alive() -> int:
    return sum(type(each) in {Socket, Session} for each in gc.get_objects())


# the end


async def test_a_stop_tells_everybody_and_closes_with_1012_and_leases_stay() -> None:
    async with local_socket_server() as server, server.dial() as socket, server.dial() as busy:
        await socket.ask("agent.register", agent_id="ide")
        server.registry.blocked = asyncio.Event()
        await busy.send({"type": 0, "id": 1, "method": "agent.register", "params": {"agent_id": "ide"}})
        await until(lambda: any(each.is_replying for each in server.hub))
        stopping = asyncio.create_task(server.socket_server.stop(10))
        assert (await socket.wait_for_notification("server.restarting"))["reconnect_after_seconds"] > 0
        assert await socket.close_code() == 1012
        server.registry.blocked.set()
        answer = await busy.read_response(1)
        assert answer["type"] == 1
        assert await busy.close_code() == 1012
        await stopping
        assert server.registry.ended == []
        with pytest.raises(OSError):
            async with server.dial():
                pass
