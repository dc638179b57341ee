"""The wrapper around every route, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from robyn_server.core.access.permissions import Operation
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.errors import Unauthenticated
from robyn_server.settings import load_settings
from robyn_server.web.edge.access_log import Entry
from robyn_server.web.edge.application import WebApplication
from robyn_server.web.edge.edge import Edge
from robyn_server.web.edge.raw_request import RawRequest
from robyn_server.web.edge.replies import Reply, Streaming
from robyn_server.web.http.messages import Request, Response, Sink, Stream, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.streams.open_streams import OpenStreams

routes = RouteTable(tag="Things", operation=Operation.APP_USE)


@routes.get("/me", summary="Who asks")
async def me(_services: object, request: Request) -> Response:
    return json_response({"identity": request.principal.identity, "id": request.request_id})


@routes.delete("/things/{name}", summary="Delete")
async def delete(services: list[str], request: Request) -> Response:
    services.append(request.path_params["name"])
    return empty()


@routes.get("/events", summary="Events", streams=True)
async def events(_services: object, _request: Request) -> Stream:
    async def produce(sink: Sink) -> None:
        await sink.put(b"a")

    return Stream(produce)


class Application:
    def __init__(self) -> None:
        self.routes = routes
        self.services: Any = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return True, {"storage": "ready"}


def edge(entries: list[Entry] | None = None, application: WebApplication | None = None, **settings: Any) -> Edge:
    record = None if entries is None else entries.append
    made = Edge(load_settings(**settings), OpenStreams(1, 5), record=record)
    made.serve(application or Application())
    return made


def body(reply: Reply) -> Any:
    assert isinstance(reply, Response)
    return orjson.loads(reply.body)


async def test_a_handler_gets_services_and_a_finished_request() -> None:
    application = Application()
    reply = await edge(application=application).handle(RawRequest("DELETE", "/things/a%20b"))
    assert (reply.status, application.services) == (204, ["a b"])


async def test_the_request_id_is_in_the_request_the_answer_and_the_log() -> None:
    entries: list[Entry] = []
    reply = await edge(entries).handle(RawRequest("GET", "/me", headers={"x-request-id": "r-1"}))
    assert body(reply) == {"identity": "local", "id": "r-1"}
    assert ("x-request-id", "r-1") in reply.headers
    assert [(entry.method, entry.path, entry.status, entry.request_id) for entry in entries] == [
        ("GET", "/me", 200, "r-1")
    ]


async def test_an_authenticator_may_be_asynchronous_and_refuse() -> None:
    async def identify(headers: Mapping[str, str]) -> Principal:
        await asyncio.sleep(0)
        if "authorization" not in headers:
            raise Unauthenticated("no token")
        return LOCAL

    made = Edge(load_settings(), OpenStreams(1, 5), identify=identify)
    made.serve(Application())
    refused = await made.handle(RawRequest("GET", "/me"))
    assert (refused.status, body(refused)["detail"]) == (401, "no token")
    assert (await made.handle(RawRequest("GET", "/me", headers={"authorization": "x"}))).status == 200
    for public in ("/", "/ok", "/livez", "/info", "/docs", "/openapi.json"):
        assert (await made.handle(RawRequest("GET", public))).status == 200


async def test_an_unknown_path_asks_for_no_credentials_and_a_known_one_does() -> None:
    made = edge(auth_mode="jwt", jwt_secret="s" * 32)
    assert (await made.handle(RawRequest("GET", "/nope"))).status == 404
    assert (await made.handle(RawRequest("GET", "/me"))).status == 401


@pytest.mark.parametrize(
    ("body_bytes", "headers", "status"),
    [
        (b"x" * 1024, {}, 204),
        (b"x" * 1025, {}, 413),
        ("é" * 600, {}, 413),
        (b"", {"content-length": "1025"}, 413),
        (b"x", {"content-length": "2"}, 400),
        (b"x", {"content-type": "multipart/form-data; boundary=x"}, 400),
        (b"x", {"content-type": "Multipart/Form-Data; boundary=x"}, 400),
        (b"x", {"content-encoding": "gzip"}, 415),
        (b"x", {"content-encoding": "identity, br"}, 415),
        (b"x", {"content-encoding": " Identity "}, 204),
        (b"", {"content-encoding": "gzip"}, 204),
    ],
)
async def test_a_body_is_whole_and_within_the_limit(
    body_bytes: bytes | str, headers: dict[str, str], status: int
) -> None:
    made = edge(max_body_bytes=1024)
    assert (await made.handle(RawRequest("DELETE", "/things/a", headers=headers, body=body_bytes))).status == status


async def test_behind_a_proxy_a_body_has_its_length() -> None:
    """Robyn takes a chunked body that breaks off for a whole one."""
    request = RawRequest("DELETE", "/things/a", headers={"transfer-encoding": "chunked"}, body=b"x")
    assert (await edge().handle(request)).status == 204
    refused = await edge(auth_mode="keys", behind_proxy=True).handle(request)
    assert (refused.status, "without its length" in body(refused)["detail"]) == (400, True)


async def test_a_stream_is_opened_and_one_too_many_is_503() -> None:
    made = edge()
    reply = await made.handle(RawRequest("GET", "/events"))
    assert isinstance(reply, Streaming)
    assert (await made.handle(RawRequest("GET", "/events"))).status == 503
    assert await asyncio.to_thread(lambda: b"".join(reply.chunks)) == b"a"


async def test_a_principal_with_its_share_of_streams_is_429_and_told_when_to_come_back() -> None:
    def identify(headers: Mapping[str, str]) -> Principal:
        return Principal(headers["x-api-key"])

    made = Edge(load_settings(), OpenStreams(9, 5, share=1), identify=identify)
    made.serve(Application())
    one, other = {"x-api-key": "one"}, {"x-api-key": "other"}
    held = await made.handle(RawRequest("GET", "/events", headers=one))
    refused = await made.handle(RawRequest("GET", "/events", headers=one))
    assert (refused.status, body(refused)["code"]) == (429, "too_many_own_streams")
    assert ("retry-after", "1") in refused.headers
    assert (await made.handle(RawRequest("GET", "/me", headers=one))).status == 200
    assert (await made.handle(RawRequest("GET", "/events", headers=other))).status == 200
    assert isinstance(held, Streaming)


async def test_a_head_of_a_stream_holds_no_seat() -> None:
    made = Edge(load_settings(), OpenStreams(9, 5, share=1))
    made.serve(Application())
    for _ in range(3):
        assert (await made.handle(RawRequest("HEAD", "/events"))).status == 200
    assert len(made.streams.slots) == 0


async def test_a_drain_refuses_all_but_liveness() -> None:
    made = edge()
    made.draining = True
    assert made.readiness() == (False, {"storage": "ready", "web": "draining"})
    assert body(await made.handle(RawRequest("GET", "/me")))["code"] == "draining"
    assert (await made.handle(RawRequest("GET", "/livez"))).status == 200


async def test_health_has_the_reference_servers_shape() -> None:
    made = edge()
    assert body(await made.handle(RawRequest("GET", "/ok"))) == {"ok": True, "services": {"storage": "ready"}}
    refused = await made.handle(RawRequest("GET", "/ok", query=[("check_db", "x")]))
    assert refused.status == 400


async def test_two_routes_that_collide_are_refused_at_the_start() -> None:
    application = Application()
    application.routes = RouteTable(tag="x", operation=Operation.APP_USE)
    application.routes.get("/ok", summary="x")(me)
    with pytest.raises(ValueError, match="two routes for GET /ok"):
        edge(application=application)


async def test_any_origin_is_answered_with_a_star() -> None:
    reply = await edge().handle(RawRequest("GET", "/me", headers={"origin": "https://a.example"}))
    assert ("access-control-allow-origin", "*") in reply.headers
    listed = edge(cors_origins="https://a.example, https://b.example/")
    assert ("vary", "Origin") in (await listed.handle(RawRequest("GET", "/me"))).headers


async def test_a_private_network_is_opened_to_listed_origins_only() -> None:
    asks = {
        "origin": "https://a.example",
        "access-control-request-method": "GET",
        "access-control-request-private-network": "true",
    }
    granted = ("access-control-allow-private-network", "true")
    listed = await edge(cors_origins="https://a.example").handle(RawRequest("OPTIONS", "/me", headers=asks))
    anybody = await edge().handle(RawRequest("OPTIONS", "/me", headers=asks))
    assert granted in listed.headers
    assert granted not in anybody.headers
