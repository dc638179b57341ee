"""The middleware of a project's app runs around the server's own routes, as in LangGraph's server."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from databases import fresh_database
from endless_run import ENDLESS
from langgraph_sdk.client import LangGraphClient
from network.sse_client import open_stream
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server, until
from users.demo_users import HARBOUR
from users.issued_api_keys import issue_api_key

APP = f"{SAMPLES.with_name('http_apps') / 'middleware_app.py'}:app"
PAGE = "https://page.example"


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AGENTHALL_HTTP_APP": APP, "AGENTHALL_CORS_ORIGINS": PAGE, "AGENTHALL_HEARTBEAT": "0.1"}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as opened:
        yield opened


@pytest.fixture
async def client(server: LiveServer) -> LangGraphClient:
    return server.sdk()


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    return str((await http.post("/threads", json={})).json()["thread_id"])


async def open_streams(http: httpx.AsyncClient) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("agenthall_http_streams_open "))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/own", 200),
        ("GET", "/info", 200),
        ("HEAD", "/info", 200),
        ("GET", "/connections", 200),
        ("POST", "/assistants/search", 422),
        ("DELETE", "/info", 405),
        ("GET", "/nothing/here", 404),
        ("GET", "/threads/00000000-0000-0000-0000-000000000000", 404),
        ("OPTIONS", "/threads", 204),
    ],
)
async def test_every_answer_passes_the_middleware(http: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await http.request(
        method, path, content=b"[]" if method == "POST" else b"", headers={"x-request-id": "mine"}
    )
    assert (answer.status_code, answer.headers["x-status"]) == (status, str(status))
    assert answer.headers.get_list("x-request-id") == ["mine"]
    if status >= 400:
        assert answer.json()["request_id"] == "mine"


@pytest.mark.parametrize("path", ["/ok", "/livez", "/metrics", "/openapi.json", "/docs", "/console"])
async def test_what_monitors_and_browsers_read_does_not(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers={"x-refuse": "1"})
    assert answer.status_code in (200, 303, 307, 308) and "x-status" not in answer.headers


async def test_the_sdk_works_through_the_middleware(client: LangGraphClient, thread: str) -> None:
    assert await client.runs.wait(thread, "echo", input={"text": "a"}) == {"text": "a"}
    events = [part async for part in client.runs.stream(thread, "counter", input={"until": 3}, stream_mode="values")]
    assert [part.data["count"] for part in events if part.event == "values" and "count" in part.data] == [1, 2, 3]
    (first, *_) = await client.runs.list(thread, limit=1)
    assert await client.runs.join(thread, first["run_id"]) == (await client.threads.get_state(thread))["values"]
    assert (await client.threads.get_state(thread))["values"]["count"] == 3
    assert await client.threads.count() >= 1


async def test_long_answers_are_compressed_by_the_middleware(http: httpx.AsyncClient) -> None:
    text = "x" * 5000
    answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": text}})
    assert answer.json() == {"text": text}
    assert answer.headers["content-encoding"] == "gzip" and int(answer.headers["content-length"]) < 1000


async def test_a_request_that_the_middleware_refuses_has_no_effect(http: httpx.AsyncClient, thread: str) -> None:
    refused = await http.post(f"/threads/{thread}/runs", json=ENDLESS, headers={"x-refuse": "1"})
    assert (refused.status_code, refused.json()) == (418, {"detail": "not on a Sunday"})
    assert (await http.get(f"/threads/{thread}/runs")).json() == []


async def test_a_middleware_that_raises_is_an_internal_error(http: httpx.AsyncClient, server: LiveServer) -> None:
    answer = await http.get("/info", headers={"x-raise": "1", "x-request-id": "the-bug"})
    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (500, "internal", "the-bug")
    await until(lambda: "the bug of the middleware" in server.webs[0].read_log())


@pytest.mark.parametrize("way", ["wait", "stream"])
async def test_middleware_can_change_the_body_of_a_run(http: httpx.AsyncClient, way: str) -> None:
    headers = {"x-add": '{"text": "of the middleware"}'}
    answer = await http.post(f"/runs/{way}", json={"assistant_id": "echo", "input": {}}, headers=headers)
    assert answer.status_code == 200 and "of the middleware" in answer.text


async def test_middleware_can_change_path_and_query(http: httpx.AsyncClient, thread: str) -> None:
    assert (await http.get(f"/behind/threads/{thread}")).json()["thread_id"] == thread
    assert (await http.get("/behind/own")).text == "own None"
    assert (await http.get("/behind/nothing")).status_code == 404
    changed = await http.get(f"/threads/{thread}/runs", headers={"x-query": "limit=zzz&zzz=1"})
    assert changed.status_code in (400, 422) and "limit" in changed.json()["detail"]


async def test_bad_requests_are_answered_as_without_middleware(http: httpx.AsyncClient) -> None:
    assert (await http.post("/threads", content=b"{")).status_code == 422
    assert (await http.post("/threads", content=b"x" * 5 * 1024 * 1024)).status_code == 413
    assert (await http.post("/threads", content=b"{}", headers={"content-encoding": "gzip"})).status_code == 415
    assert (await http.post("/threads", files={"file": b"content"})).status_code == 400
    assert (await http.get("/threads/%ff")).status_code == 400


async def test_pages_of_other_origins_are_decided_by_either(http: httpx.AsyncClient) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "PURGE"}
    preflight = await http.options("/threads", headers=asked)
    assert (preflight.status_code, preflight.headers.get_list("access-control-allow-origin")) == (200, [PAGE])
    assert preflight.headers["access-control-allow-methods"] == "PURGE", "that of the app's middleware"
    answer = await http.get("/info", headers={"origin": PAGE})
    assert answer.headers.get_list("access-control-allow-origin") == [PAGE]


async def test_the_requests_are_counted_under_their_routes(http: httpx.AsyncClient, thread: str) -> None:
    await http.get(f"/threads/{thread}")
    await http.get("/info", headers={"x-refuse": "1"})
    lines = (await http.get("/metrics")).text
    assert 'agenthall_http_requests_total{method="GET",route="/threads/{thread_id}",status="200"}' in lines
    assert 'agenthall_http_requests_total{method="GET",route="http.app",status="418"}' in lines


@pytest.mark.parametrize("way", ["stream", "wait"])
async def test_a_client_that_leaves_is_noticed_behind_the_middleware(
    http: httpx.AsyncClient, thread: str, way: str
) -> None:
    async def has(path: str, status: str) -> bool:
        return bool((await http.get(path)).json()["status"] == status)

    async with http.stream(
        "POST", f"/threads/{thread}/runs/{way}", json=ENDLESS | {"on_disconnect": "cancel"}
    ) as answer:
        path = answer.headers["content-location"]
        await until(lambda: has(path, "running"))
    await until(lambda: has(path, "interrupted"))

    async def none_open() -> bool:
        return await open_streams(http) == 0

    await until(none_open)


async def test_a_silent_stream_has_heartbeats(http: httpx.AsyncClient, thread: str) -> None:
    async with http.stream("GET", f"/threads/{thread}/stream") as answer:
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith(":")


async def test_a_waiting_client_gets_whitespace_and_then_the_result(http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "counter", "input": {"until": 60, "delay": 0.02}, "config": {"recursion_limit": 100}}
    answer = await http.post("/runs/wait", json=body)
    assert answer.json()["count"] == 60
    assert answer.text[0].isspace() and "content-length" not in answer.headers


async def test_a_server_that_stops_ends_the_streams(postgres: str, template: str) -> None:
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, AGENTHALL_HTTP_APP=APP) as running,
        running.http() as http,
    ):
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        body = ENDLESS | {"on_disconnect": "cancel", "stream_resumable": True}
        async with open_stream(http, "POST", f"/threads/{thread}/runs/stream", json=body) as stream:
            assert await stream.next() is not None
            running.webs[0].kill(signal.SIGTERM)
            while await stream.next() is not None:
                pass
        assert await running.webs[0].ended() == 0
        del running.webs[0]
        running.add_web()
        await running.ready()
        (run,) = (await http.get(f"/threads/{thread}/runs")).json()
        assert run["status"] == "running", "a client of a server that stops has not left"


# Credentials ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["middleware_first", "auth_first"])
async def keyed(postgres: str, template: str, request: pytest.FixtureRequest) -> AsyncIterator[LiveServer]:
    settings = {
        "AGENTHALL_HTTP_APP": APP,
        "AGENTHALL_HTTP_APP_AUTH": "true",
        "AGENTHALL_HTTP_MIDDLEWARE_ORDER": request.param,
        "AUTH_MODE": "keys",
        "AGENTHALL_GRAPHS": orjson.dumps(GRAPHS).decode(),
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture
async def key(keyed: LiveServer) -> str:
    return await issue_api_key(keyed.database, HARBOUR)


def comes_first(server: LiveServer) -> bool:
    return server.environment["AGENTHALL_HTTP_MIDDLEWARE_ORDER"] == "middleware_first"


async def test_middleware_brings_credentials_where_it_comes_first(keyed: LiveServer, key: str) -> None:
    expected = 200 if comes_first(keyed) else 401
    async with keyed.http(cookie=f"key={key}") as http:
        created = await http.post("/threads", json={})
        assert created.status_code == expected
        assert (await http.get("/own")).status_code == expected
        answer = await http.post("/runs/stream", json={"assistant_id": "echo", "input": {"text": "a"}})
        assert answer.status_code == expected


async def test_middleware_knows_the_user_where_it_comes_second(keyed: LiveServer, key: str) -> None:
    async with keyed.http(**{"x-api-key": key}) as http:
        for path in ("/connections", "/own", "/behind/own"):
            answer = await http.get(path)
            assert answer.status_code == 200, path
            assert bool(answer.headers["x-user"]) is not comes_first(keyed), path


@pytest.mark.parametrize("path", ["/own", "/behind/own", "/connections", "/behind/connections", "/nothing"])
async def test_without_credentials_nothing_is_answered(keyed: LiveServer, path: str) -> None:
    async with keyed.http() as http:
        answer = await http.get(path)
        assert answer.status_code == 401
        assert ("x-status" in answer.headers) is comes_first(keyed), "which of the two has refused it"
