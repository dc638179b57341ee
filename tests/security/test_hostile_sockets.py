"""Frames and messages that no honest client sends, to a sockets process: it answers or closes, and serves others."""

from __future__ import annotations

import asyncio
import json
import zlib
from random import Random
from typing import Any

import pytest
from network.websocket_client import WebSocketClient, dial

from robyn_server.sockets.methods.table import AUTH, METHODS

from .conftest import HostileTarget
from .long_version import times
from .malformed_requests import VALUES
from .plausible import PLAUSIBLE
from .raw_socket import BINARY, CLOSE, COMPRESSED, FINAL, PING, TEXT, frame, handshake, raw_socket

MESSAGES = times(400, long=5_000)
PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1002, 1007, 1009
PINGED = frame(json.dumps({"type": 4, "id": "p"}).encode())

BOMB = zlib.compressobj(wbits=-15)
BOMB_BYTES = (BOMB.compress(b'{"type":0,"id":"' + b"x" * 20_000_000) + BOMB.flush(zlib.Z_SYNC_FLUSH))[:-4]

FRAMES: dict[str, tuple[bytes, set[int | None]]] = {
    "a compressed bomb": (frame(BOMB_BYTES, FINAL | COMPRESSED | TEXT), {PROTOCOL_ERROR}),
    "a reserved bit": (frame(b"{}", FINAL | 0x20 | TEXT), {PROTOCOL_ERROR}),
    "a reserved opcode": (frame(b"{}", FINAL | 0x3), {PROTOCOL_ERROR}),
    "a reserved control opcode": (frame(b"", FINAL | 0xB), {PROTOCOL_ERROR}),
    "no mask": (frame(b"{}", masked=False), {PROTOCOL_ERROR}),
    "a frame of 2^63 bytes": (frame(b"x", size=2**63), {PROTOCOL_ERROR, TOO_BIG}),
    "a frame of a gigabyte": (frame(b"x" * 1_000, size=2**30), {TOO_BIG}),
    "a fragmented ping": (frame(b"x", PING), {PROTOCOL_ERROR}),
    "a ping that is too long": (frame(b"x" * 126, FINAL | PING), {PROTOCOL_ERROR}),
    "a continuation of nothing": (frame(b"x", FINAL), {PROTOCOL_ERROR}),
    "a message within a message": (frame(b"x", TEXT) + frame(b"x"), {PROTOCOL_ERROR}),
    "text that is no UTF-8": (frame(b"\xff\xfe"), {INVALID_TEXT}),
    "UTF-8 cut in two": (frame(b"\xc3", TEXT) + frame(b"(", FINAL), {INVALID_TEXT}),
    "a close code out of range": (frame(b"\x00\x01", FINAL | CLOSE), {PROTOCOL_ERROR}),
    "half a close code": (frame(b"\x03", FINAL | CLOSE), {PROTOCOL_ERROR}),
    "a close reason that is no UTF-8": (frame(b"\x03\xe8\xff", FINAL | CLOSE), {PROTOCOL_ERROR, INVALID_TEXT}),
    "a hundred thousand empty fragments": (frame(b"", TEXT) + frame(b"", 0) * 100_000 + frame(b"", FINAL), {TOO_BIG}),
    "fragments that are too long together": (frame(b"x" * 1_000, TEXT) + frame(b"x" * 1_000, 0) * 2_000, {TOO_BIG}),
    "not a frame": (bytes(range(256)) * 40, {PROTOCOL_ERROR, TOO_BIG}),
    "the request again": (handshake(1), {PROTOCOL_ERROR}),
}


@pytest.mark.parametrize("what", FRAMES)
async def test_a_frame_against_the_protocol_closes_its_socket(target: HostileTarget, what: str) -> None:
    sent, codes = FRAMES[what]
    async with raw_socket(target.sockets.port) as bare:
        offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        assert b"permessage-deflate" not in await bare.open(target.sockets.port, offered)
        await bare.send(sent)
        assert await bare.close_code() in codes
    target.check_alive()


class _Messages:
    """Messages that are close to valid ones."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)

    def make(self) -> str | bytes:
        text = json.dumps(self._wrapped(self._envelope()))
        change = self._chance.randrange(12)
        if change == 0:
            return text[: self._chance.randrange(len(text))]
        if change == 1:
            return text.replace(":", self._chance.choice(["", "::", ": NaN, :"]), 1)
        if change == 2:
            return text.replace("{", '{"type": 0, "type": 0, ', 1)
        return text.encode() if change == 3 else text

    def _envelope(self) -> dict[str, Any]:
        chance = self._chance
        method = chance.choice([*METHODS, *AUTH, chance.choice(VALUES)])
        head: dict[str, Any] = chance.choice([{"type": 0, "id": 1}, {"jsonrpc": "2.0", "id": 1}, {"type": 2}])
        message = {**head, "method": method, "params": self._params(method)}
        if chance.random() < 0.3:
            message[chance.choice(["type", "id", "method", "params", "jsonrpc", "messages", "x"])] = chance.choice(
                VALUES
            )
        return message

    def _params(self, method: Any) -> dict[str, Any]:
        known = METHODS.get(method) if isinstance(method, str) else None
        names = list(known.params.model_fields) if known is not None else ["tenant_id", "auth", "api_key"]
        given = {name: PLAUSIBLE[name] for name in names if name in PLAUSIBLE and self._chance.random() < 0.5}
        for _ in range(self._chance.choice([0, 1, 1, 2])):
            given[self._chance.choice([*names, "auth", "x"])] = self._chance.choice(VALUES)
        return given

    def _wrapped(self, message: dict[str, Any]) -> Any:
        kind = self._chance.randrange(10)
        if kind == 0:
            return [message] * self._chance.choice([1, 3, 64, 65])
        if kind == 1:
            return {"type": 6, "id": "b", "messages": [message] * self._chance.choice([0, 1, 64, 65])}
        return message if kind > 2 else self._chance.choice(VALUES)


async def test_a_malformed_message_is_answered_and_ends_at_most_its_socket(target: HostileTarget) -> None:
    messages, sent = _Messages(seed=5), 0
    async with dial(target.sockets.url) as honest:
        while sent < MESSAGES:
            sent += await _send_until_closed(target, messages)
            assert await honest.ask("ping") == {"pong": True}
    target.check_alive()


async def _send_until_closed(target: HostileTarget, messages: _Messages) -> int:
    """Send up to fifty messages on one socket, each answered within its limits. Returns how many were sent."""
    async with dial(target.sockets.url) as hostile:
        for number in range(50):
            await hostile.send(messages.make())
            marker = f"after-{number}"
            await hostile.send({"type": 4, "id": marker})
            if not await _reads_until(hostile, marker):
                return number + 1
    return 50


async def _reads_until(hostile: WebSocketClient, marker: str) -> bool:
    """Read answers up to that of the ping; False when the server closed."""
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            answer = await hostile.read()
            if isinstance(answer, dict) and answer.get("id") == marker:
                return True
    except ConnectionClosed:
        return False


async def test_readers_and_writers_that_stand_still_hold_nobody_up(target: HostileTarget) -> None:
    port = target.sockets.port
    listing = frame(json.dumps({"type": 0, "id": 1, "method": "agent.list", "params": {}}).encode())
    async with (
        raw_socket(port) as silent,
        raw_socket(port) as slow,
        raw_socket(port) as halting,
        raw_socket(port) as binary,
        dial(target.sockets.url) as honest,
    ):
        await silent.send(handshake(port)[:-3])  # the head never ends
        for bare in (slow, halting, binary):
            await bare.open(port)
        await slow.send((listing + PINGED) * 2_000)  # answers are not read
        await halting.send(PINGED[:3])  # the frame never ends
        await binary.send(frame(b"\0" * 60_000, FINAL | BINARY))
        async with asyncio.timeout(60):
            for _ in range(20):
                assert await honest.ask("ping") == {"pong": True}
    target.check_alive()
