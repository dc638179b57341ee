"""Open streams whose readers may no longer read, on the edge and without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import pytest
from servers.web_process import until

from robyn_server.core.access.permissions import Operation
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from robyn_server.settings import load_settings
from robyn_server.web.edge.edge import Edge, Streaming
from robyn_server.web.edge.raw_request import RawRequest
from robyn_server.web.http.messages import JSON, End, Request, Sink, Stream
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.streams import reauthorizer
from robyn_server.web.streams.bridge import ResponseIterator
from robyn_server.web.streams.open_streams import OpenStreams
from robyn_server.web.streams.reauthorizer import StreamReauthorizer

OURS = UUID(int=1)
routes = RouteTable(tag="Streams", operation=Operation.APP_USE)


class Ends(list[End | None]):
    """Records the ends of producers, and the principals that were authorized again."""

    def __init__(self) -> None:
        self.asked: list[Principal] = []


async def _produce(ends: Ends, sink: Sink) -> None:
    try:
        await sink.put(b": begun\r\n\r\n")
        await asyncio.Event().wait()
    finally:
        ends.append(sink.end)


@routes.get("/agents/watch", operation=Operation.INSTANCES_SEARCH, summary="Events of an organization", streams=True)
async def watch(ends: Ends, _request: Request) -> Stream:
    async def permits(principal: Principal) -> None:
        ends.asked.append(principal)
        if not principal.is_member(OURS):
            raise NotFound("Not yours")

    return Stream(lambda sink: _produce(ends, sink), permits=permits)


@routes.get("/runs/wait", operation=Operation.RUNS_CREATE, summary="JSON, some day", streams=True)
async def wait(ends: Ends, _request: Request) -> Stream:
    async def produce(_sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(_sink.end)

    return Stream(produce, media_type=JSON, heartbeat=b"\n")


class Place:
    """An edge whose keys a test changes, and rounds that a test calls for."""

    def __init__(self, seconds: float = 0) -> None:
        self.keys: dict[str, Principal | Exception] = {"key": Principal("ada", frozenset({OURS}))}
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.routes = routes
        self.services: Any = Ends()
        self.streams = OpenStreams(9, 5)
        self.recheck = StreamReauthorizer(self.streams, seconds)
        self._edge = Edge(load_settings(), self.streams, identify=self.identify)
        self._edge.serve(self)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return True, {}

    async def identify(self, headers: Mapping[str, str]) -> Principal:
        self.asked += 1
        await self.answers.wait()
        found = self.keys.get(headers["x-api-key"], Unauthenticated("The API key was revoked.", code="key_revoked"))
        if isinstance(found, Exception):
            raise found
        return found

    async def open(self, path: str = "/agents/watch", key: str = "key") -> ResponseIterator:
        reply = await self._edge.handle(RawRequest("GET", path, headers={"x-api-key": key, "x-request-id": "r-1"}))
        assert isinstance(reply, Streaming), reply
        await asyncio.sleep(0)
        return reply.chunks


async def pulled(stream: ResponseIterator) -> bytes:
    return await asyncio.to_thread(lambda: b"".join(stream))


async def test_a_key_that_is_revoked_ends_its_stream_with_the_problem_that_a_request_would_get() -> None:
    place = Place()
    place.keys["other"] = Principal("other", frozenset({OURS}))
    stream, other = await place.open(), await place.open(key="other")
    await place.recheck.check()
    assert (place.streams.producing, place.services.asked) == (2, [])
    del place.keys["key"]
    await place.recheck.check()
    said = await pulled(stream)
    assert said.startswith(b": begun\r\n\r\nevent: error\r\ndata: ")
    assert orjson.loads(said.partition(b"data: ")[2]) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "The API key was revoked.",
        "code": "key_revoked",
        "request_id": "r-1",
        "error": "key_revoked",
        "message": "The API key was revoked.",
    }
    assert (place.services, place.streams.producing) == ([End.REFUSED], 1)
    del other


async def test_an_answer_in_json_is_an_error_as_langgraph_s_clients_read_it() -> None:
    place = Place()
    stream = await place.open("/runs/wait")
    place.keys["key"] = Forbidden("Not any more.", field="X-Organization-Id")
    await place.recheck.check()
    told = orjson.loads(await pulled(stream))["__error__"]
    assert (told["error"], told["message"], told["field"]) == ("forbidden", "Not any more.", "X-Organization-Id")


async def test_a_principal_that_left_the_organization_is_shown_no_more_of_it() -> None:
    place = Place()
    stream = await place.open()
    more = Principal("ada", frozenset({OURS, UUID(int=2)}))
    place.keys["key"] = more
    for _ in range(3):
        await place.recheck.check()
    assert place.services.asked == [more], "asked once for each change, and not for each look"
    place.keys["key"] = Principal("ada", frozenset({UUID(int=2)}))
    await place.recheck.check()
    assert b'"status":404' in await pulled(stream)


async def test_a_scope_that_was_taken_away_ends_the_stream() -> None:
    place = Place()
    stream = await place.open()
    place.keys["key"] = Principal("ada", frozenset({OURS}), frozenset({"runs"}), limited=True)
    await place.recheck.check()
    assert b'"code":"scope_missing"' in await pulled(stream)


@pytest.mark.parametrize("trouble", [Unavailable("the database does not answer"), ValueError("a bug")])
async def test_who_cannot_be_asked_about_now_stays_and_does_not_keep_others_from_being_asked(
    trouble: Exception,
) -> None:
    place = Place()
    place.keys |= {name: Principal(name, frozenset({OURS})) for name in ("poor", "gone")}
    stays, goes = await place.open(key="poor"), await place.open(key="gone")
    place.keys["poor"] = trouble
    del place.keys["gone"]
    await place.recheck.check()
    assert b"key_revoked" in await pulled(goes)
    assert place.streams.producing == 1
    del place.keys["poor"]
    await place.recheck.check()
    assert b"key_revoked" in await pulled(stays)


async def test_who_does_not_answer_in_time_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reauthorizer, "CHECK_TIMEOUT_SECONDS", 0.01)
    place = Place()
    stream = await place.open()
    place.answers.clear()
    await place.recheck.check()
    assert place.streams.producing == 1
    del stream


async def test_nobody_is_asked_about_before_it_is_time() -> None:
    place = Place(seconds=3600)
    stream = await place.open()
    asked = place.asked
    await place.recheck.check()
    assert place.asked == asked
    del stream


async def test_the_rounds_come_of_themselves() -> None:
    place = Place(seconds=0.02)
    stream = await place.open()
    place.recheck.start()
    del place.keys["key"]
    assert b"key_revoked" in await pulled(stream)
    await until(lambda: place.streams.open == 0)


async def test_a_stream_that_drains_or_has_ended_is_left_alone() -> None:
    place = Place()
    stream = await place.open()
    (opened,) = place.streams
    opened.stop(End.DRAINING)
    del place.keys["key"]
    await place.recheck.check()
    assert await pulled(stream) == b": begun\r\n\r\n"
    assert place.services == [End.DRAINING]
