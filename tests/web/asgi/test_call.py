"""One request to an app, without a server: what the app sends becomes a whole answer, a stream, or an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from servers.live_server import until

from robyn_server.web.asgi import call as module
from robyn_server.web.asgi.call import AppCall, AppFailed
from robyn_server.web.asgi.protocol import App, Receive, Scope, Send
from robyn_server.web.http.messages import Response, Stream
from robyn_server.web.streams.bridge import ResponseIterator
from robyn_server.web.streams.open_streams import OpenStreams

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
EVENTS = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def begin(app: App, *, method: str = "GET", content: bytes = b"", heartbeat: float = 60) -> AppCall:
    call = AppCall(app, {"type": "http", "method": method, "path": "/x"}, content, heartbeat)
    call.start()
    return call


def sending(*messages: dict[str, Any]) -> App:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def pausing(*messages: dict[str, Any]) -> App:
    """Gives the loop a few turns between messages."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
            for _ in range(10):
                await asyncio.sleep(0)

    return app


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_SECONDS", 0)


async def opened(answer: Response | Stream, streams: OpenStreams | None = None) -> ResponseIterator:
    assert isinstance(answer, Stream)
    found = await (streams or OpenStreams(1, 60)).answer(answer)
    assert isinstance(found, ResponseIterator)
    return found


async def read(chunks: ResponseIterator) -> bytes:
    """The rest of the body, read on another thread as Robyn does."""
    return await asyncio.to_thread(lambda: b"".join(chunks))


async def first(chunks: ResponseIterator) -> bytes:
    return await asyncio.to_thread(lambda: next(each for each in chunks if each))


async def test_an_answer_that_is_complete_at_once_is_whole() -> None:
    answer = await begin(sending(HEAD, body(b"a", more=True), body(b"b", more=True), body(b""))).answer()
    assert isinstance(answer, Response)
    assert (answer.status, answer.body, answer.media_type, answer.headers) == (200, b"ab", "text/plain", ())


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_takes_its_time_is_a_stream() -> None:
    chunks = await opened(await begin(pausing(HEAD, body(b"a", more=True), body(b"b"))).answer())
    assert await read(chunks) == b"ab"


@pytest.mark.usefixtures("impatient")
async def test_a_short_body_of_a_declared_length_is_waited_for() -> None:
    head = HEAD | {"headers": [(b"content-length", b"2")]}
    answer = await begin(pausing(head, body(b"a", more=True), body(b"b"))).answer()
    assert isinstance(answer, Response) and answer.body == b"ab"
    assert answer.headers == (), "the server writes the length"


async def test_events_are_a_stream_before_the_first_arrives() -> None:
    go = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(EVENTS)
        await go.wait()
        await send(body(b"data: 1\n\n"))

    chunks = await opened(await begin(app).answer())
    go.set()
    assert await read(chunks) == b"data: 1\n\n"


async def test_an_app_waits_for_a_reader_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    size, sent = 100_000, []
    monkeypatch.setattr(module, "WHOLE_BYTES", size)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(EVENTS)
        for number in range(100):
            await send(body(bytes([number]) * size, more=True))
            sent.append(number)
        await send(body(b""))

    streams = OpenStreams(1, 60, buffer_bytes=2 * size)
    chunks = await opened(await begin(app).answer(), streams)
    await until(lambda: len(sent) >= 2)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(sent) <= 5, "more than the buffer would fill the memory"
    assert await read(chunks) == b"".join(bytes([number]) * size for number in range(100))


@pytest.mark.usefixtures("impatient")
async def test_a_long_body_without_a_length_becomes_a_stream_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", 10)
    messages = [body(bytes([number]), more=True) for number in range(200)]
    chunks = await opened(await begin(sending(HEAD, *messages, body(b""))).answer())
    assert await read(chunks) == bytes(range(200))


async def test_the_body_is_received_once_and_then_the_end() -> None:
    received = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        received.append(await receive())
        await send(HEAD)
        await send(body(b"ok"))
        received.append(await receive())

    await begin(app, content=b"\0\xff").answer()
    await until(lambda: len(received) == 2)
    assert received == [{"type": "http.request", "body": b"\0\xff", "more_body": False}, {"type": "http.disconnect"}]


async def test_an_app_is_told_that_the_reader_of_a_stream_left() -> None:
    received = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(EVENTS)
        await send(body(b"data: 1\n\n", more=True))
        received.append(await receive())
        await send(body(b"nobody reads this"))

    call = begin(app)
    chunks = await opened(await call.answer())
    assert await first(chunks) == b"data: 1\n\n"
    del chunks
    await until(lambda: received == [{"type": "http.disconnect"}])


async def test_an_app_that_goes_on_sending_to_nobody_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEFT_SECONDS", -1)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(EVENTS)
        while True:
            await send(body(b": more\n", more=True))

    call = AppCall(app, {"type": "http", "method": "GET", "path": "/x"}, b"", 60)
    task = call.start()
    await call.answer()
    call.leave()
    await asyncio.wait_for(task, 60)


@pytest.mark.parametrize(("sent", "comments"), [(b"data: 1\n", True), (b"data: 1", False)])
async def test_a_silent_event_stream_has_comments_between_lines_only(sent: bytes, comments: bool) -> None:
    go = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(EVENTS)
        await send(body(sent, more=True))
        await go.wait()
        await send(body(b""))

    chunks = await opened(await begin(app, heartbeat=0.001).answer())
    found = b""
    for _ in range(10_000 if comments else 3):
        found += await asyncio.to_thread(next, chunks)  # waits a second at most
        if found.endswith(b":\n"):
            break
    assert found.startswith(sent)
    assert (b":\n" in found.removeprefix(sent), found.removeprefix(sent).strip(b":\n")) == (comments, b"")
    go.set()


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_is_no_event_stream_has_no_comments() -> None:
    go = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(body(b"line\n", more=True))
        await go.wait()
        await send(body(b"end"))

    chunks = await opened(await begin(app, heartbeat=0.001).answer())
    assert await first(chunks) == b"line\n"
    assert await asyncio.to_thread(next, chunks) == b"", "a second of silence"
    go.set()
    assert await read(chunks) == b"end"


@pytest.mark.usefixtures("impatient")
async def test_what_an_app_sends_does_not_overtake_what_is_buffered() -> None:
    parts = [bytes([number]) * 10 for number in range(20)]

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(HEAD)
        for part in parts[:5]:
            await send(body(part, more=True))
        for part in parts[5:]:
            await asyncio.sleep(0)
            await send(body(part, more=True))
        await send(body(b""))

    chunks = await opened(await begin(app).answer(), OpenStreams(1, 60, buffer_bytes=1))
    assert await read(chunks) == b"".join(parts)


async def fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise LookupError("a bug")


async def exits(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise SystemExit(3)


async def answers_for_its_failure(_scope: Scope, _receive: Receive, send: Send) -> None:
    """As Starlette does without a handler of the app."""
    await send(HEAD | {"status": 500})
    await send(body(b"Internal Server Error"))
    raise LookupError("a bug")


async def fails_after_its_head(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(HEAD)
    raise LookupError("a bug")


BROKEN: dict[str, tuple[App, str]] = {
    "it raises": (fails, "a bug"),
    "it raises after its head": (fails_after_its_head, "a bug"),
    "it exits": (exits, "SystemExit"),
    "it raises, and answers with the standard text": (answers_for_its_failure, "a bug"),
    "it sends nothing": (sending(), "returned before its answer was complete"),
    "its body does not end": (sending(HEAD, body(b"a", more=True)), "returned before its answer was complete"),
    "a body comes first": (sending(body(b"a")), "'http.response.body' when it was not expected"),
    "two heads": (sending(HEAD, HEAD), "'http.response.start' when it was not expected"),
    "a message of another protocol": (sending({"type": "websocket.accept"}), "'websocket.accept'"),
    "a wrong status": (sending(HEAD | {"status": 99}), "the status 99"),
    "a header with a line end": (sending(HEAD | {"headers": [(b"a", b"b\r\nc: d")]}), "cannot be sent: b'a'"),
    "a header with a wrong name": (sending(HEAD | {"headers": [(b"a b", b"c")]}), "cannot be sent: b'a b'"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_app_that_does_not_answer_properly_has_failed(name: str) -> None:
    app, reason = BROKEN[name]
    with pytest.raises(AppFailed) as failed:
        await begin(app).answer()
    assert reason in str(failed.value.__cause__)


async def test_an_answer_of_the_apps_own_to_its_failure_stands() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(HEAD | {"status": 500})
        await send(body(b"We are sorry."))
        raise LookupError("a bug")

    answer = await begin(app).answer()
    assert isinstance(answer, Response) and (answer.status, answer.body) == (500, b"We are sorry.")


async def test_head_of_a_stream_has_no_body_and_ends_the_app() -> None:
    received = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(EVENTS)
        await send(body(b"data: 1\n\n", more=True))
        received.append((await receive())["type"])

    answer = await begin(app, method="HEAD").answer()
    assert isinstance(answer, Response) and (answer.body, answer.media_type) == (b"", "text/event-stream")
    await until(lambda: received == ["http.disconnect"])


async def test_headers_keep_their_bytes_and_those_of_the_connection_are_left_out() -> None:
    lines = [
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", "b=\N{SNOWMAN}".encode()),
        (b"x-latin", b"\xfc"),
        (b"connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"content-type", b"a/b"),
    ]
    answer = await begin(sending(HEAD | {"headers": lines}, body(b""))).answer()
    assert answer.headers == (("set-cookie", "a=1"), ("set-cookie", "b=\N{SNOWMAN}"), ("x-latin", "\xfc"))
    assert answer.media_type == "a/b"
