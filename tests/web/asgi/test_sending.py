"""A stream of the server's that an app's middleware passes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from servers.live_server import until

from robyn_server.core.errors import Conflict
from robyn_server.web.asgi.sending import StreamSender, send_response
from robyn_server.web.http.messages import End, Response, Sink, Stream


class Sent:
    """The messages that were sent. Sending waits while `free` is not set."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, message: dict[str, Any]) -> None:
        await self.free.wait()
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.messages)

    @property
    def is_complete(self) -> bool:
        return self.messages[-1]["type"] == "http.response.body" and not self.messages[-1].get("more_body", False)


def producing(*chunks: bytes, gate: asyncio.Event | None = None) -> Any:
    async def produce(sink: Sink) -> None:
        for chunk in chunks:
            await sink.put(chunk)
            if gate is not None:
                await gate.wait()

    return produce


async def test_a_response_has_its_length_and_its_type() -> None:
    sent = Sent()
    await send_response(Response(201, b"{}", (("location", "/x"),)), sent.send)
    assert sent.messages == [
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"location", b"/x"), (b"content-type", b"application/json"), (b"content-length", b"2")],
        },
        {"type": "http.response.body", "body": b"{}"},
    ]


async def test_a_body_that_is_whole_in_time_is_sent_as_one() -> None:
    sent = Sent()
    await StreamSender(Stream(producing(b"a", b"b"), whole_within=60), asyncio.Event(), sent.send, 60).run()
    assert [each.get("body") for each in sent.messages] == [None, b"ab"]
    assert (b"content-length", b"2") in sent.messages[0]["headers"]


async def test_what_fails_in_time_decides_the_status() -> None:
    async def produce(_sink: Sink) -> None:
        raise Conflict("too late")

    sent = Sent()
    with pytest.raises(Conflict):
        await StreamSender(Stream(produce, whole_within=60), asyncio.Event(), sent.send, 60).run()
    assert sent.messages == []


async def test_what_fails_later_ends_the_body_and_is_kept_for_the_log() -> None:
    async def produce(sink: Sink) -> None:
        await sink.put(b"a")
        raise LookupError("the bug")

    sent = Sent()
    sender = StreamSender(Stream(produce), asyncio.Event(), sent.send, 60)
    await sender.run()
    assert (sent.body, sent.is_complete) == (b"a", True)
    assert isinstance(sender.failure, LookupError)


async def test_chunks_keep_their_order_while_the_first_are_sent() -> None:
    sent = Sent()
    sent.free.clear()
    sender = StreamSender(Stream(producing(*[b"%d" % number for number in range(9)])), asyncio.Event(), sent.send, 60)
    running = asyncio.create_task(sender.run())
    await asyncio.sleep(0)
    sent.free.set()
    await running
    assert sent.body == b"012345678" and sent.is_complete


async def test_silence_has_heartbeats() -> None:
    sent, gate = Sent(), asyncio.Event()
    stream = Stream(producing(b"a", gate=gate), heartbeat=b"\n")
    running = asyncio.create_task(StreamSender(stream, asyncio.Event(), sent.send, 0.001).run())
    await until(lambda: sent.body.startswith(b"a\n\n"))
    gate.set()
    await running
    assert sent.is_complete and set(sent.body) == set(b"a\n")


@pytest.mark.parametrize("reason", [None, End.DRAINING])
async def test_a_producer_that_nobody_reads_is_cancelled_and_knows_why(reason: End | None) -> None:
    seen: list[End | None] = []

    async def produce(sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(sink.end)
            await sink.put(b"nobody reads this")

    class Reader:
        end = reason

    sent, ended = Sent(), asyncio.Event()
    sender = StreamSender(Stream(produce), ended, sent.send, 60)
    sender.reader = Reader()  # type: ignore[assignment]
    running = asyncio.create_task(sender.run())
    await until(lambda: sent.messages)
    ended.set()
    await running
    assert seen == [reason or End.CLIENT_GONE]
    assert sent.body == b""


async def test_a_middleware_that_gives_up_cancels_the_producer() -> None:
    gone = asyncio.Event()

    async def produce(_sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    sent = Sent()
    running = asyncio.create_task(StreamSender(Stream(produce), asyncio.Event(), sent.send, 60).run())
    await until(lambda: sent.messages)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gone.is_set()
