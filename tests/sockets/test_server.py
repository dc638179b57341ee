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
from dialled import Refused
from live_server import until
from places import ALPHA, Place, place
from websockets.exceptions import ConnectionClosed, InvalidStatus

from robyn_server.core.registry import EventKind
from robyn_server.registry.protocols import SlowReader
from robyn_server.sockets.connection import Socket
from robyn_server.sockets.session import Session

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: alpha-key\r\n\r\n"
)


async def refusal(place: Place, **options: Any) -> dict[str, Any]:
    """The problem with which the handshake is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with place.dial(**options):
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


async def raw(place: Place, *, window: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket that is spoken to byte by byte, its handshake done."""
    bare = sockets.socket()
    if window is not None:
        bare.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, window)
    bare.setblocking(False)
    await asyncio.get_running_loop().sock_connect(bare, ("127.0.0.1", place.port))
    reader, writer = await asyncio.open_connection(sock=bare, limit=1024)
    writer.write(UPGRADE.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"101" in head.split(b"\r\n")[0]
    return reader, writer


# the handshake


async def get(place: Place, path: str, **headers: str) -> tuple[int, Any]:
    def work() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    return await asyncio.to_thread(work)


async def test_probes_are_answered_over_plain_http(here: Place) -> None:
    assert await get(here, "/livez") == (200, b'{"ok":true}')
    assert await get(here, "/ok") == (200, b'{"ok":true}')
    assert (await get(here, "/ws"))[0] == 426
    status, body = await get(here, "/elsewhere")
    assert status == 404 and json.loads(body)["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/"])
async def test_sockets_open_at_the_root_and_at_ws(here: Place, path: str) -> None:
    async with here.dial(url=f"ws://127.0.0.1:{here.port}{path}") as socket:
        assert await socket.ask("ping") == {"pong": True}


async def test_a_wrong_key_is_401_before_the_socket_is_open(here: Place) -> None:
    assert (await refusal(here, key="wrong"))["code"] == "key_invalid"


async def test_the_header_names_the_organization(here: Place) -> None:
    async with here.dial(key="both-key", headers={"X-Organization-Id": str(ALPHA)}) as socket:
        assert (await socket.ask("agent.status"))["tenant_id"] == str(ALPHA)
        await socket.ask("agent.register", agent_id="ide")
    assert (await refusal(here, headers={"X-Organization-Id": str(UUID(int=9))}))["status"] == 403
    assert (await refusal(here, headers={"X-Organization-Id": "nonsense"}))["status"] == 400


async def test_a_header_that_is_there_twice_is_400(here: Place) -> None:
    with contextlib.closing(sockets.create_connection(("127.0.0.1", here.port))) as bare:
        text = UPGRADE.replace("X-API-Key: alpha-key", "X-API-Key: alpha-key\r\nX-API-Key: beta-key")
        bare.sendall(text.encode())
        assert b"400" in (await asyncio.to_thread(bare.recv, 100)).split(b"\r\n")[0]


async def test_a_ticket_opens_one_socket(here: Place) -> None:
    here.tickets.issued["t-1"] = {"x-api-key": "alpha-key"}
    async with here.dial(key=None, url=f"{here.url}?ticket=t-1") as socket:
        assert (await socket.ask("agent.status"))["identity"] == "key:alpha"
    assert (await refusal(here, key=None, url=f"{here.url}?ticket=t-1"))["code"] == "ticket_invalid"


@pytest.mark.parametrize("query", ["api_key=alpha-key", "ticket=a&ticket=b", "token=x", "ticket=a&x=b", "&" * 20])
async def test_nothing_but_a_ticket_may_stand_in_the_address(here: Place, query: str) -> None:
    assert (await refusal(here, key=None, url=f"{here.url}?{query}"))["status"] == 400


async def test_the_subprotocol_is_offered_and_not_required(here: Place) -> None:
    for offered, chosen in ((["mcp.v1", "other"], "mcp.v1"), (["other"], None), (None, None)):
        async with here.dial(subprotocols=offered) as socket:
            assert socket.socket.subprotocol == chosen


async def test_pages_of_other_origins_are_refused() -> None:
    async with place(origins="https://app.example") as somewhere:
        async with somewhere.dial(origin="https://app.example"):
            pass
        assert (await refusal(somewhere, origin="https://evil.example"))["code"] == "origin_refused"
    async with place(is_open=True) as open_place:
        async with open_place.dial(origin="http://localhost:5173", key=None):
            pass
        assert (await refusal(open_place, origin="https://evil.example", key=None))["code"] == "origin_refused"


# limits


async def test_who_says_nothing_is_closed() -> None:
    async with place(first_message_seconds=0.2) as somewhere:
        async with somewhere.dial() as quiet, somewhere.dial() as talker:
            await talker.ask("ping")
            assert await quiet.close_code() == 4401
            assert await talker.ask("ping") == {"pong": True}
        with contextlib.closing(sockets.create_connection(("127.0.0.1", somewhere.port))) as bare:
            bare.settimeout(10)
            bare.sendall(b"GET /ws HTTP/1.1\r\n")
            assert await asyncio.to_thread(bare.recv, 100) == b""


@pytest.mark.parametrize("said", ['{"type": 4, "id": 1}', "no JSON", '{"type": 0, "id": 1, "method": "ping"}'])
async def test_who_shows_no_credentials_is_closed_whatever_else_is_said(said: str) -> None:
    async with place(first_message_seconds=0.3) as somewhere, somewhere.dial(key=None) as socket:
        await socket.send(said)
        assert await socket.close_code() == 4401


async def test_sockets_have_a_limit_for_each_principal_and_in_all() -> None:
    async with place(sockets=3, sockets_per_principal=2) as somewhere, contextlib.AsyncExitStack() as stack:
        open_ones = [await stack.enter_async_context(somewhere.dial()) for _ in range(2)]
        for each in open_ones:
            await each.ask("ping")
        async with somewhere.dial() as third:
            assert await third.close_code() == 4429
        async with somewhere.dial(key=None) as third:
            with pytest.raises(Refused, match="too_many_sockets"):
                await third.ask("auth", api_key="alpha-key")
            assert await third.close_code() == 4429
        await until(lambda: len(somewhere.hall) == 2)
        other = await stack.enter_async_context(somewhere.dial(key="beta-key"))
        await other.ask("ping")
        async with somewhere.dial(key="both-key") as fourth:
            assert await fourth.close_code() == 4429
        open_ones[0].drop()
        await until(lambda: len(somewhere.hall) == 2)
        again = await stack.enter_async_context(somewhere.dial())
        assert await again.ask("ping") == {"pong": True}
        assert somewhere.hall.counts.refused == 2


async def test_too_many_messages_are_refused_and_who_goes_on_is_closed() -> None:
    async with place(messages_per_second=0.001, burst_seconds=3000) as somewhere, somewhere.dial() as socket:
        for _ in range(3):
            await socket.ask("ping")
        with pytest.raises(Refused) as caught:
            await socket.ask("ping")
        assert (caught.value.code, caught.value.error["retryable"]) == (4002, True)
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20):
                await socket.send({"type": 4, "id": 1})
        assert await socket.close_code() == 4429


async def test_a_slow_reader_is_closed_and_nobody_waits_for_it() -> None:
    async with place(stuck_seconds=0.3, messages_per_second=100_000) as somewhere, somewhere.dial() as watcher:
        _, writer = await raw(somewhere, window=4096)
        await watcher.ask("agent.watch")
        await until(lambda: len(somewhere.hall) == 2)
        slow = next(each for each in somewhere.hall if not each.watches)
        ask = json.dumps({"type": 0, "id": "x" * 60, "method": "p"}).encode()
        writer.write(frame(ask) * 20_000)
        await until(lambda: slow.socket.stuck_since is not None)
        somewhere.watch.tell(EventKind.REGISTERED, ALPHA, UUID(int=1), 1)
        await watcher.notified("agent.event")
        await until(lambda: slow.socket.close_sent == 4429)
        await until(lambda: len(somewhere.hall) == 1)
        assert somewhere.hall.counts.slow == 1
        assert await watcher.ask("ping") == {"pong": True}
        writer.transport.abort()


async def test_a_watcher_that_falls_behind_its_feed_is_closed() -> None:
    async with place() as somewhere, somewhere.dial() as socket, somewhere.dial() as other:
        await socket.ask("agent.watch")
        somewhere.watch.fail(SlowReader())
        assert await socket.close_code() == 4429
        assert await other.ask("ping") == {"pong": True}


async def test_a_half_open_socket_is_noticed_and_a_quiet_one_is_not() -> None:
    async with place(ask_seconds=0.2, silent_seconds=0.8) as somewhere, somewhere.dial() as quiet:
        await quiet.ask("ping")
        reader, writer = await raw(somewhere)
        writer.write(frame(b'{"type":0,"id":1,"method":"agent.register","params":{"agent_id":"ide"}}'))
        await reader.readexactly(2)
        # from here on the peer answers nothing, not even pings, and closes nothing
        await until(lambda: somewhere.registry.ended)
        assert somewhere.registry.ended[0][0] == "disconnect"
        assert somewhere.hall.counts.silent == 1
        assert await quiet.ask("ping") == {"pong": True}
        writer.transport.abort()


async def test_a_stuck_socket_that_is_silent_as_well_counts_as_slow() -> None:
    async with place(ask_seconds=0.2, silent_seconds=0.8, stuck_seconds=60, messages_per_second=100_000) as somewhere:
        _, writer = await raw(somewhere, window=4096)
        await until(lambda: len(somewhere.hall) == 1)
        (stuck,) = somewhere.hall
        writer.write(frame(json.dumps({"type": 0, "id": "x" * 60, "method": "p"}).encode()) * 20_000)
        await until(lambda: stuck.socket.stuck_since is not None)
        await until(lambda: len(somewhere.hall) == 0)
        assert (somewhere.hall.counts.slow, somewhere.hall.counts.silent) == (1, 0)
        writer.transport.abort()


async def test_a_pause_of_the_server_is_not_taken_for_its_sockets_silence() -> None:
    async with place() as somewhere, somewhere.dial() as socket:
        await socket.ask("ping")
        await until(lambda: somewhere.hall.looked_at is not None)
        assert somewhere.hall.looked_at is not None
        next(iter(somewhere.hall)).socket.heard -= 60
        somewhere.hall.looked_at -= 60
        for _ in range(5):
            await somewhere.hall.look()
        assert somewhere.hall.counts.silent == 0
        assert await socket.ask("ping") == {"pong": True}


async def test_who_does_not_answer_a_close_is_cut_off() -> None:
    async with place(leave_seconds=0.2) as somewhere:
        reader, writer = await raw(somewhere)
        await until(lambda: len(somewhere.hall) == 1)
        next(iter(somewhere.hall)).part(4401, "x")  # type: ignore[arg-type]
        await until(lambda: len(somewhere.hall) == 0)
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
async def test_broken_frames_close_the_socket_and_not_the_server(here: Place, bytes_sent: bytes, code: int) -> None:
    reader, writer = await raw(here)
    writer.write(bytes_sent)
    async with asyncio.timeout(10):
        answer = await reader.read(4)
    assert answer[0] == 0x88 and int.from_bytes(answer[2:4]) == code
    writer.transport.abort()
    async with here.dial() as socket:
        assert await socket.ask("ping") == {"pong": True}


# the memory


async def _usual(here: Place) -> None:
    async with here.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        await socket.ask("agent.watch")


async def _mistaken(here: Place) -> None:
    async with here.dial() as socket:
        for method, params in [("agent.heartbeat", {"load": 3}), ("no.such", {}), ("agent.status", {"auth": 3})]:
            with pytest.raises(Refused):
                await socket.ask(method, **params)
        assert (await socket.roundtrip("not json {"))["type"] == 3
        assert (await socket.roundtrip({"type": 77, "id": 1}))["type"] == 3


async def _cut(here: Place) -> None:
    async with here.dial() as socket:
        await socket.ask("agent.register", agent_id="ide")
        socket.socket.transport.abort()


async def _broken(here: Place) -> None:
    _, writer = await raw(here)
    writer.write(frame(b"x", 0x83))
    writer.transport.abort()


@pytest.mark.parametrize("visit", [_usual, _mistaken, _cut, _broken])
async def test_a_closed_socket_leaves_nothing_for_the_garbage_collector(visit: Callable[[Place], Any]) -> None:
    """It would have to look through what all the open ones have, and everybody stands still for that."""
    async with place() as somewhere:
        gc.collect()
        gc.disable()
        before = _alive()  # what other tests' errors hold
        try:
            for _ in range(5):
                await visit(somewhere)
            await until(lambda: len(somewhere.hall) == 0)
            await until(lambda: _alive() == before)
        finally:
            gc.enable()


def _alive() -> int:
    return sum(type(each) in {Socket, Session} for each in gc.get_objects())


# the end


async def test_a_stop_tells_everybody_and_closes_with_1012_and_leases_stay() -> None:
    async with place() as somewhere, somewhere.dial() as socket, somewhere.dial() as busy:
        await socket.ask("agent.register", agent_id="ide")
        somewhere.registry.hold_up = asyncio.Event()
        await busy.send({"type": 0, "id": 1, "method": "agent.register", "params": {"agent_id": "ide"}})
        await until(lambda: any(each._busy for each in somewhere.hall))
        stopping = asyncio.create_task(somewhere.server.stop(10))
        assert (await socket.notified("server.restarting"))["reconnect_after_seconds"] > 0
        assert await socket.close_code() == 1012
        somewhere.registry.hold_up.set()
        answer = await busy.answer(1)
        assert answer["type"] == 1
        assert await busy.close_code() == 1012
        await stopping
        assert somewhere.registry.ended == []
        with pytest.raises(OSError):
            async with somewhere.dial():
                pass
