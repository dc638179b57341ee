"""Frames and messages that no honest client sends, to a sockets process: it answers or closes, and serves others."""

from __future__ import annotations

import asyncio
import json

import pytest
from network.websocket_client import WebSocketClient, dial

from .conftest import HostileTarget
from .hostile_frames import FRAMES
from .long_version import times
from .malformed_messages import MalformedMessages
from .raw_socket import BINARY, FINAL, frame, handshake, raw_socket

MESSAGES = times(400, long=5_000)
PINGED = frame(json.dumps({"type": 4, "id": "p"}).encode())


@pytest.mark.parametrize("what", FRAMES)
async def test_a_frame_against_the_protocol_closes_its_socket(target: HostileTarget, what: str) -> None:
    sent, codes = FRAMES[what]
    async with raw_socket(target.sockets.port) as bare:
        offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        assert b"permessage-deflate" not in await bare.open(target.sockets.port, offered)
        await bare.send(sent)
        assert await bare.close_code() in codes
    target.check_alive()


async def test_a_malformed_message_is_answered_and_ends_at_most_its_socket(target: HostileTarget) -> None:
    messages, sent = MalformedMessages(seed=5), 0
    async with dial(target.sockets.url) as honest:
        while sent < MESSAGES:
            sent += await _send_until_closed(target, messages)
            assert await honest.ask("ping") == {"pong": True}
    target.check_alive()


async def _send_until_closed(target: HostileTarget, messages: MalformedMessages) -> int:
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
