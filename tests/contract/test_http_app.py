"""The app of a project answers its own routes, on the server's address."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from databases import fresh_database
from servers.live_server import SAMPLES, LiveServer, live_server, until

APPS = SAMPLES.with_name("http_apps")
HANDLERS = SAMPLES.parent / "auth_projects" / "owners.py"
LARGE = 3 * 1024 * 1024


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("http_app") / "large.bin"
    path.write_bytes(bytes(range(256)) * (LARGE // 256))
    return path


@pytest.fixture(scope="module")
async def server(postgres: str, template: str, large_file: Path) -> AsyncIterator[LiveServer]:
    settings = {
        "AGENTHALL_HTTP_APP": f"{APPS / 'web_app.py'}:app",
        "HTTP_APP_FILE": str(large_file),
        "HTTP_APP_STOPPED": str(large_file.with_name("stopped")),
        "AGENTHALL_HEARTBEAT": "0.1",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as opened:
        yield opened


async def test_a_route_of_the_app_is_answered_with_its_middleware_and_the_state_of_its_lifespan(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get("/hello", headers={"x-request-id": "mine"})
    assert answer.json() == {"greeting": "hi", "user": None, "id": "mine"}
    assert (answer.headers["x-stamp"], answer.headers["x-request-id"]) == ("1", "mine")
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_the_apps_middleware_runs_around_the_servers_own_routes(http: httpx.AsyncClient) -> None:
    created = await http.post("/threads", json={})
    found = await http.post("/threads/search", json={})
    assert [each["thread_id"] for each in found.json()] == [created.json()["thread_id"]]
    assert (created.headers["x-stamp"], found.headers["x-stamp"]) == ("1", "1")


@pytest.mark.parametrize("path", ["/", "/info", "/threads/search"])
async def test_a_route_of_the_app_comes_before_that_of_the_server(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).text == "the app's home"


async def test_a_path_below_one_of_the_servers_is_the_apps(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/threads/{uuid4()}/summary")).json()["greeting"] == "hi"


async def test_routes_that_monitors_use_cannot_be_replaced(http: httpx.AsyncClient) -> None:
    assert (await http.get("/ok")).json()["ok"] is True


async def test_a_path_that_nobody_has_is_answered_by_the_app(http: httpx.AsyncClient) -> None:
    missing = await http.get("/nothing/here")
    assert (missing.status_code, missing.headers["x-stamp"]) == (404, "1")
    assert missing.json()["detail"] == "Not Found", "in the server's form, which clients read"
    wrong = await http.delete("/hello")
    assert (wrong.status_code, wrong.headers["x-stamp"]) == (405, "1")


async def test_the_request_reaches_the_app_as_it_was_sent(http: httpx.AsyncClient, server: LiveServer) -> None:
    headers = [("x-two", "1"), ("x-two", "2"), ("x-forwarded-proto", "https"), ("content-type", "image/png")]
    answer = await http.request(
        "PUT", "/echo/a%20b%2Fc?z=%C3%A9+1&a=1&a=2", headers=headers, content=b"\x89PNG\0\xff", cookies={"c": "d"}
    )
    seen = answer.json()
    assert {name: seen[name] for name in ("method", "path", "raw_path", "root_path", "scheme")} == {
        "method": "PUT",
        "path": "/echo/a b/c",
        "raw_path": "/echo/a%20b%2Fc",
        "root_path": "",
        "scheme": "https",
    }
    assert sorted(seen["query"].split("&")) == ["a=1", "a=2", "z=%C3%A9+1"]
    assert [value for name, value in seen["headers"] if name == "x-two"] == ["1", "2"]
    assert ["cookie", "c=d"] in seen["headers"]
    assert (seen["client"], seen["port"], seen["body"]) == ("127.0.0.1", server.port, b"\x89PNG\0\xff".hex())


@pytest.mark.parametrize("path", ["/slash", "/slash/"])
async def test_a_route_that_ends_in_a_slash_is_found(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["path"], answer.json()["raw_path"]) == (200, "/slash/", "/slash/")


async def test_a_mounted_app_is_found(http: httpx.AsyncClient) -> None:
    assert (await http.get("/static/a/b.txt")).text == "a/b.txt"


async def test_a_body_of_any_size_up_to_the_limit_arrives(http: httpx.AsyncClient) -> None:
    assert (await http.post("/echo/x", content=b"x" * LARGE)).json()["body"] == LARGE
    refused = await http.post("/echo/x", content=b"x" * 5 * 1024 * 1024)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_a_form_with_files_is_refused_with_an_alternative(http: httpx.AsyncClient) -> None:
    answer = await http.post("/form", files={"file": b"content"})
    assert answer.status_code == 400 and "Multipart/Form-Data" in answer.json()["detail"]


async def test_a_form_with_capitals_arrives_whole_as_behind_the_proxy(http: httpx.AsyncClient) -> None:
    form = httpx.Request("POST", "http://x/", files={"file": ("a.bin", b"\0\xff", "image/png")}, data={"title": "A"})
    media_type = form.headers["content-type"].replace("multipart/form-data", "Multipart/Form-Data")
    sent = {"content": form.read(), "headers": {"content-type": media_type}}
    answer = await http.post("/form", **sent)
    assert answer.json() == {"title": "A", "file": ["a.bin", "image/png", "00ff"]}
    assert (await http.post("/threads", **sent)).status_code == 400, "the server's routes take none"


async def test_a_large_file_arrives_whole(http: httpx.AsyncClient, large_file: Path) -> None:
    answer = await http.get("/file")
    assert answer.content == content(large_file)
    assert (await http.get("/file", headers={"range": "bytes=256-511"})).content == bytes(range(256))


async def test_each_cookie_is_a_header_of_its_own(http: httpx.AsyncClient) -> None:
    answer = await http.get("/cookies")
    assert [each.partition(";")[0] for each in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]


async def test_head_has_the_headers_and_no_body(http: httpx.AsyncClient) -> None:
    answer = await http.head("/hello")
    assert (answer.status_code, answer.content, answer.headers["x-stamp"]) == (200, b"", "1")
    assert int(answer.headers["content-length"]) > 0
    for path, media_type in (("/events", "text/event-stream"), ("/file", "application/octet-stream")):
        answer = await http.head(path)
        assert answer.headers["content-type"].startswith(media_type), path
        assert "content-length" not in answer.headers, "0 would be wrong"
    assert (await http.get("/hello")).json()["greeting"] == "hi", "the connection is in order"


async def test_events_arrive_one_by_one(http: httpx.AsyncClient) -> None:
    async with http.stream("GET", "/events") as answer:
        lines = answer.aiter_lines()
        assert await _data(lines) == "data: one"
        await http.post("/release")
        assert await _data(lines) == "data: two"


async def _data(lines: AsyncIterator[str]) -> str:
    async for line in lines:
        if line.startswith("data:"):
            return line
    raise AssertionError("the stream ended")


async def test_an_app_is_told_when_the_client_of_a_silent_stream_leaves(http: httpx.AsyncClient) -> None:
    async with http.stream("GET", "/watch") as answer:
        await _data(answer.aiter_lines())
    await until(lambda: _has(http, "left"))


async def _has(http: httpx.AsyncClient, event: str) -> bool:
    return event in (await http.get("/history")).json()


async def test_work_goes_on_after_its_answer(http: httpx.AsyncClient) -> None:
    assert (await http.post("/later")).status_code == 202
    await http.post("/release")
    await until(lambda: _has(http, "worked"))


async def test_an_app_that_raises_is_500_and_logged_under_the_id(http: httpx.AsyncClient, server: LiveServer) -> None:
    answer = await http.get("/boom", headers={"x-request-id": "the-boom"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json() | {"detail": ""} == answer.json() | {
        "detail": "",
        "code": "internal",
        "request_id": "the-boom",
    }
    assert "bug" not in answer.text
    await until(
        lambda: any(
            "the bug of the app" in line and "the-boom" in line for line in server.webs[0].read_log().splitlines()
        )
    )


async def test_a_stream_that_breaks_ends_and_is_logged(http: httpx.AsyncClient, server: LiveServer) -> None:
    answer = await http.get("/broken", headers={"x-request-id": "the-break"})
    assert answer.text.startswith("data: one")
    await until(
        lambda: any(
            "the bug of the stream" in line and "the-break" in line for line in server.webs[0].read_log().splitlines()
        )
    )


PAGE = "http://localhost:3000"


async def test_a_preflight_request_for_the_servers_route_passes_the_middleware(http: httpx.AsyncClient) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST"}
    answer = await http.options("/threads", headers=asked)
    assert (answer.status_code, answer.headers["x-stamp"]) == (200, "1")
    assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_pages_of_other_origins_are_answered_as_for_the_servers_routes(http: httpx.AsyncClient) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "PUT"}
    preflight = await http.options("/echo/x", headers=asked)
    assert preflight.status_code == 200 and "PUT" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-origin"] == "*"
    answer = await http.get("/hello", headers={"origin": PAGE})
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    foreign = await http.get("/hello", headers={"origin": "https://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "origin_refused"), "as with AUTH_MODE=none everywhere"


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_an_app_may_decide_itself_about_other_origins(http: httpx.AsyncClient, method: str) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "GET"}
    answer = await http.request(method, "/origins", headers=asked)
    assert answer.headers.get_list("access-control-allow-origin") == [PAGE]
    assert answer.headers["access-control-allow-credentials"] == "true"


async def test_requests_of_the_app_are_counted_under_one_name(http: httpx.AsyncClient) -> None:
    before = await _count(http)
    for number in range(3):
        await http.get(f"/echo/{number}")
    assert await _count(http) == before + 3
    assert "/echo" not in (await http.get("/metrics")).text


async def _count(http: httpx.AsyncClient) -> float:
    wanted = 'agenthall_http_requests_total{method="GET",route="http.app",status="200"} '
    lines = (await http.get("/metrics")).text.splitlines()
    return next((float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)), 0)


async def test_the_worker_does_not_load_the_app(server: LiveServer) -> None:
    await until(lambda: "project's app is served" in server.webs[0].read_log())
    assert "project's app" not in server.workers[0].read_log()


# Authentication ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def guarded(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {
        "AGENTHALL_HTTP_APP": f"{APPS / 'web_app.py'}:app",
        "AGENTHALL_HTTP_APP_AUTH": "true",
        "AGENTHALL_AUTH": f"{HANDLERS}:auth",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


async def test_handlers_authenticate_the_requests_of_the_app(guarded: LiveServer) -> None:
    async with guarded.http() as http:
        assert (await http.get("/hello")).status_code == 401
        assert (await http.get("/nothing")).status_code == 401
        known = await http.get("/hello", headers={"x-name": "ada"})
    assert known.json()["user"] == "ada"


async def test_a_preflight_request_needs_no_credentials(guarded: LiveServer) -> None:
    async with guarded.http() as http:
        asked = {"origin": "https://a.example", "access-control-request-method": "GET"}
        answer = await http.options("/origins", headers=asked)
    assert answer.status_code == 200 and "access-control-allow-credentials" not in answer.headers


# Start and stop ------------------------------------------------------------------------------------------------------


async def test_the_shutdown_of_the_app_runs_when_the_server_stops(postgres: str, template: str, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    settings = {"AGENTHALL_HTTP_APP": f"{APPS / 'web_app.py'}:app", "HTTP_APP_STOPPED": str(stopped)}
    async with fresh_database(postgres, template) as url, live_server(url, workers=0, **settings) as running:
        async with running.http() as http:
            await http.post("/later")
            await http.post("/release")
        running.webs[0].kill(signal.SIGTERM)
        assert await running.webs[0].ended() == 0
        assert stopped.read_text() == "worked"


async def test_a_stream_of_the_app_ends_before_its_shutdown(postgres: str, template: str, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    settings = {
        "AGENTHALL_HTTP_APP": f"{APPS / 'web_app.py'}:app",
        "HTTP_APP_STOPPED": str(stopped),
        "AGENTHALL_DRAIN_SECONDS": "1",
    }
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, workers=0, **settings) as running,
        running.http() as http,
        http.stream("GET", "/watch") as answer,
    ):
        await _data(answer.aiter_lines())
        running.webs[0].kill(signal.SIGTERM)
        assert await running.webs[0].ended() == 0
        assert stopped.read_text() == "left"


FAULTY = {
    "a failing startup": (
        """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database here"})
""",
        "the startup of the app failed: no database here",
    ),
    "a failing import": ("raise LookupError('no such module of ours')\n", "LookupError: no such module of ours"),
    "no such name": ("other = 1\n", "has no attribute 'app'"),
    "no app": ("app = 1\n", "it is of type int, not an ASGI app"),
}


@pytest.mark.parametrize("name", FAULTY)
async def test_an_app_that_cannot_be_served_stops_the_start(
    postgres: str, template: str, tmp_path: Path, name: str
) -> None:
    source, reason = FAULTY[name]
    file = tmp_path / "webapp.py"
    file.write_text(source)
    settings = {"AGENTHALL_HTTP_APP": f"{file}:app"}
    async with fresh_database(postgres, template) as url:
        with pytest.raises(AssertionError) as refused:
            async with live_server(url, workers=0, **settings):
                pass
    assert reason in str(refused.value) and "AGENTHALL_HTTP_APP" in str(refused.value)
