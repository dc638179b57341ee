"""The edge and the app of a project: whose a request is, and which of the two answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import pytest

from robyn_server.core.access.permissions import Operation
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Unauthenticated
from robyn_server.settings import load_settings
from robyn_server.web.asgi.host import AppHost
from robyn_server.web.asgi.protocol import Receive, Scope, Send
from robyn_server.web.edge.access_log import Entry
from robyn_server.web.edge.edge import Edge
from robyn_server.web.edge.raw_request import RawRequest, Wire
from robyn_server.web.edge.replies import Reply, Streaming
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.streams.open_streams import OpenStreams

ORGANIZATION = UUID(int=7)
PRINCIPALS = {
    "ada": Principal("ada", organizations=frozenset({ORGANIZATION}), permissions=frozenset({"letters:write"})),
    "key": Principal("key", permissions=frozenset({"runs"}), limited=True),
    "root": Principal("root", organizations=None, permissions=frozenset({"admin"}), limited=True),
}
routes = RouteTable(tag="Things", operation=Operation.APP_USE)


@routes.get("/things", summary="Things")
async def things(_services: object, _request: Request) -> Response:
    return json_response({"from": "the server"})


class Application:
    def __init__(self) -> None:
        self.routes = routes
        self.services: Any = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return True, {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with its scope; `/events` is a stream without an end."""
    if scope["path"] == "/events":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await receive()
        await receive()
        return
    seen = {
        "path": scope["path"],
        "user": dict(scope["user"]) if "user" in scope else None,
        "scopes": scope["auth"].scopes if "auth" in scope else None,
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
    }
    headers = [(b"x-request-id", b"the app's"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(seen)})


def identify(headers: Mapping[str, str]) -> Principal:
    name = headers.get("authorization", "")
    if name not in PRINCIPALS:
        raise Unauthenticated("Who asks?")
    return PRINCIPALS[name]


def edge(
    *, authenticated: bool = False, entries: list[Entry] | None = None, streams: OpenStreams | None = None
) -> Edge:
    settings = load_settings(
        http_app="x:app", http_app_auth=authenticated, auth_mode="keys", max_body_bytes=1024, request_seconds=60
    )
    host = AppHost(app, "x:app", ("127.0.0.1", 1), heartbeat_seconds=60, stop_seconds=1)
    record = None if entries is None else entries.append
    made = Edge(settings, streams or OpenStreams(1, 60), identify=identify, app=host, record=record)
    made.serve(Application())
    return made


def body(reply: Reply) -> Any:
    assert isinstance(reply, Response)
    return orjson.loads(reply.body)


async def ask(made: Edge, path: str = "/own", method: str = "GET", content: bytes = b"", **headers: str) -> Reply:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return await made.handle(
        RawRequest(method, path, (), lines, content, lambda: Wire("10.0.0.1", "http", [*lines.items()]))
    )


async def test_routes_of_the_app_are_open_unless_the_project_says_otherwise() -> None:
    seen = body(await ask(edge(), authorization="nobody"))
    assert (seen["path"], seen["user"], seen["scopes"]) == ("/own", None, None)


async def test_a_principal_becomes_the_user_of_the_scope() -> None:
    seen = body(await ask(edge(authenticated=True), authorization="ada"))
    assert seen["scopes"] == ["letters:write"]
    assert seen["user"] == {
        "identity": "ada",
        "display_name": "ada",
        "is_authenticated": True,
        "permissions": ["letters:write"],
        "kind": "user",
        "organizations": [str(ORGANIZATION)],
    }


@pytest.mark.parametrize(("name", "status"), [("nobody", 401), ("key", 403), ("root", 200)])
async def test_without_credentials_that_cover_all_routes_the_app_is_not_called(name: str, status: int) -> None:
    assert (await ask(edge(authenticated=True), authorization=name)).status == status


async def test_an_app_whose_routes_cannot_be_read_gets_what_the_server_has_no_route_for() -> None:
    made = edge()
    assert body(await ask(made, "/things", authorization="ada")) == {"from": "the server"}
    assert (await ask(made, "/things", "DELETE")).status == 405
    assert body(await ask(made, "/other"))["path"] == "/other"


async def test_before_its_startup_the_app_is_not_asked() -> None:
    settings = load_settings(http_app="x:app", auth_mode="keys")
    host = AppHost(app, "x:app", ("127.0.0.1", 1), heartbeat_seconds=60, stop_seconds=1)
    reply = await ask(Edge(settings, OpenStreams(1, 60), identify=identify, app=host))
    assert (reply.status, body(reply)["code"]) == (503, "starting")


async def test_the_app_has_the_id_under_which_its_request_is_logged() -> None:
    entries: list[Entry] = []
    reply = await ask(edge(entries=entries), x_request_id="not sane\n")
    given = [value for name, value in body(reply)["headers"] if name == "x-request-id"]
    sent = [value for name, value in reply.headers if name == "x-request-id"]
    assert given == sent == [entries[0].request_id]
    assert (entries[0].path, entries[0].status) == ("/own", 200)


async def test_streams_of_open_routes_share_the_slots_of_one_principal() -> None:
    made = edge(streams=OpenStreams(10, 60, share=1))
    opened = await ask(made, "/events")
    assert isinstance(opened, Streaming)
    refused = await ask(made, "/events")
    assert (refused.status, body(refused)["code"]) == (429, "too_many_own_streams")


async def test_streams_of_users_count_for_each() -> None:
    made = edge(authenticated=True, streams=OpenStreams(10, 60, share=1))
    opened = [await ask(made, "/events", authorization=name) for name in ("ada", "root")]
    assert all(isinstance(each, Streaming) for each in opened)
    assert (await ask(made, "/events", authorization="ada")).status == 429


async def test_a_body_above_the_limit_does_not_reach_the_app() -> None:
    assert (await ask(edge(), method="POST", content=b"x" * 1025)).status == 413


@pytest.mark.parametrize(("media_type", "status"), [("multipart/form-data; boundary=x", 400), ("multipart/mixed", 200)])
async def test_only_forms_with_files_are_refused(media_type: str, status: int) -> None:
    assert (await ask(edge(), method="POST", content=b"x", content_type=media_type)).status == status


async def test_a_path_that_is_not_utf_8_is_refused() -> None:
    assert (await ask(edge(), "/own/%ff")).status == 400


@pytest.mark.parametrize("authenticated", [True, False])
async def test_the_server_answers_preflight_requests_that_the_app_does_not(authenticated: bool) -> None:
    reply = await ask(
        edge(authenticated=authenticated),
        "/own",
        "OPTIONS",
        origin="https://a.example",
        access_control_request_method="PUT",
    )
    headers = dict(reply.headers)
    assert (reply.status, headers["access-control-allow-origin"]) == (200, "*")
    assert "PUT" in headers["access-control-allow-methods"]
