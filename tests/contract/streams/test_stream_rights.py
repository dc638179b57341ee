"""Open streams of a whole server: one principal's share of them, and what becomes of them when their reader may not
read any more."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from databases import fresh_database
from deadlines import DEADLINE
from endless_run import ENDLESS
from network.sse_client import EventReader, open_stream
from servers.live_server import LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer

from robyn_server.storage.api_keys import KEYS

WATCH = "/agents/watch"
SHARE = 2


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings: dict[str, Any] = {
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AGENTHALL_STREAMS_PER_PRINCIPAL": str(SHARE),
        "AGENTHALL_STREAMS_RECHECK": "0.2",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
async def root(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http(**bearer("root", permissions=("admin",))) as client:
        yield client


class Key:
    def __init__(self, prefix: str, http: httpx.AsyncClient) -> None:
        self.prefix = prefix
        self.http = http


@pytest.fixture
async def key(server: LiveServer, root: httpx.AsyncClient) -> AsyncIterator[Key]:
    """A key of the organization HARBOUR, and who asks with it."""
    made = (await root.post("/keys", json={"organizations": [HARBOUR]})).json()
    async with server.http(**{"x-api-key": made["key"]}) as http:
        yield Key(made["prefix"], http)


async def _last(stream: EventReader) -> Any:
    """The event that ends it."""
    async with asyncio.timeout(DEADLINE):
        events = await stream.read_rest()
    return events[-1]


async def _begun(stream: EventReader) -> None:
    async with asyncio.timeout(DEADLINE):
        assert await stream.next() is not None


async def _change(server: LiveServer, prefix: str, column: str, value: list[str]) -> None:
    """A key's organizations or scopes, which no request changes; told to the server as a revocation is."""
    kind = {"organizations": "uuid[]", "scopes": "text[]"}[column]
    connection = await asyncpg.connect(server.database)
    try:
        statement = f"update agenthall.api_keys set {column} = $2::{kind} where prefix = $1"
        await connection.execute(statement, prefix, value)
        await connection.execute("select pg_notify($1, $2)", KEYS, prefix)
    finally:
        await connection.close()


async def test_one_principal_has_its_share_of_streams_and_others_still_get_theirs(server: LiveServer) -> None:
    async with server.http(**bearer("ada", HARBOUR)) as ada, server.http(**bearer("mia", HARBOUR)) as mia:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(SHARE):
                await _begun(await held.enter_async_context(open_stream(ada, "GET", WATCH)))
            refused = await ada.get(WATCH)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_own_streams")
            assert refused.headers["retry-after"] == "1"
            waiting = await ada.post("/runs/wait", json={"assistant_id": "echo", "input": {}})
            assert waiting.status_code == 429, "what waits for a run is a stream, too"
            assert (await ada.post("/threads/search", json={})).status_code == 200
            async with open_stream(mia, "GET", WATCH) as stream:
                await _begun(stream)
        await until(lambda: _gets_a_stream(ada))


async def _gets_a_stream(http: httpx.AsyncClient) -> bool:
    async with http.stream("GET", WATCH) as answer:
        return answer.status_code == 200


async def test_seats_come_back_from_streams_of_every_end(server: LiveServer) -> None:
    """More streams than slots: read to the end, closed in the middle, and refused by the handler."""
    async with server.http(**bearer("eve", HARBOUR)) as eve:
        for _ in range(SHARE + 1):
            waited = {"assistant_id": "echo", "input": {"text": 1}}
            await until(functools.partial(_answers, eve, "/runs/wait", waited, 200))
            await until(lambda: _answers(eve, "/runs/wait", {"assistant_id": "no such graph"}, 404, 422))
            await until(lambda: _gets_a_stream(eve))


async def _answers(http: httpx.AsyncClient, path: str, body: Any, *statuses: int) -> bool:
    """Whether the request succeeds now. A slot is free shortly after its stream has ended."""
    answer = await http.post(path, json=body)
    assert answer.status_code in (429, *statuses), answer.text
    return answer.status_code != 429


async def test_a_watch_ends_with_the_revocation_of_its_key_and_says_so(key: Key, root: httpx.AsyncClient) -> None:
    async with open_stream(key.http, "GET", WATCH) as stream:
        await _begun(stream)
        assert (await root.delete(f"/keys/{key.prefix}")).status_code == 204
        event = await _last(stream)
    refused = (await key.http.get(WATCH)).json()
    told = {name: event.data[name] for name in refused}
    assert (event.name, event.id) == ("error", None)
    assert told | {"request_id": None} == refused | {"request_id": None}
    assert (event.data["error"], event.data["message"]) == ("key_revoked", "The API key was revoked.")


async def test_a_watch_ends_when_its_token_expires_and_a_run_is_read_to_its_end(server: LiveServer) -> None:
    run = {"assistant_id": "counter", "input": {"until": 80, "delay": 0.1}, "config": {"recursion_limit": 99}}
    async with (
        server.http(**bearer("joe", HARBOUR, expires_in=5)) as joe,
        open_stream(joe, "POST", "/runs/stream", json=run | {"stream_mode": "values"}) as reading,
        open_stream(joe, "GET", WATCH) as stream,
    ):
        event = await _last(stream)
        answer = await _last(reading)
        assert (await joe.get("/assistants/x")).json()["code"] == "token_expired"
    assert (answer.name, answer.data["count"]) == ("values", 80)
    assert (event.name, event.data["status"], event.data["code"]) == ("error", 401, "token_expired")


async def test_who_leaves_the_organization_watches_it_no_more(server: LiveServer, key: Key) -> None:
    async with open_stream(key.http, "GET", WATCH) as watching:
        await _begun(watching)
        await _change(server, key.prefix, "organizations", [MEADOW])
        event = await _last(watching)
    assert (event.data["status"], event.data["code"], event.data["field"]) == (403, "forbidden", "tenant_id")


async def test_a_run_s_stream_ends_too_and_a_run_that_lives_for_its_reader_with_it(
    server: LiveServer, key: Key, root: httpx.AsyncClient
) -> None:
    thread = (await key.http.post("/threads", json={})).json()["thread_id"]
    body = ENDLESS | {"on_disconnect": "cancel"}
    async with open_stream(key.http, "POST", f"/threads/{thread}/runs/stream", json=body) as stream:
        await _begun(stream)
        assert (await root.delete(f"/keys/{key.prefix}")).status_code == 204
        event = await _last(stream)
    assert (event.name, event.data["code"]) == ("error", "key_revoked")

    async def stopped() -> bool:
        (run,) = (await root.get(f"/threads/{thread}/runs")).json()
        return bool(run["status"] == "interrupted")

    await until(stopped)


async def test_who_waits_for_a_run_is_told_as_for_a_run_that_failed(key: Key, root: httpx.AsyncClient) -> None:
    thread = (await key.http.post("/threads", json={})).json()["thread_id"]
    run = (await key.http.post(f"/threads/{thread}/runs", json=ENDLESS)).json()["run_id"]
    async with key.http.stream("GET", f"/threads/{thread}/runs/{run}/join") as joined:
        assert joined.status_code == 200
        assert (await root.delete(f"/keys/{key.prefix}")).status_code == 204
        async with asyncio.timeout(DEADLINE):
            await joined.aread()
    told = joined.json()["__error__"]
    assert (told["error"], told["message"], told["status"]) == ("key_revoked", "The API key was revoked.", 401)
    assert (await root.get(f"/threads/{thread}/runs/{run}")).json()["status"] == "running"
    assert (await root.post(f"/threads/{thread}/runs/{run}/cancel?wait=1")).status_code in (200, 202)


async def test_an_administrator_who_is_none_any_more_reads_no_more_of_others_runs(
    server: LiveServer, root: httpx.AsyncClient, key: Key
) -> None:
    thread = (await key.http.post("/threads", json={})).json()["thread_id"]
    run = (await key.http.post(f"/threads/{thread}/runs", json=ENDLESS)).json()["run_id"]
    path = f"/threads/{thread}/runs/{run}"
    made = (await root.post("/keys", json={"organizations": [HARBOUR], "scopes": ["admin"]})).json()
    async with (
        server.http(**{"x-api-key": made["key"]}) as admin,
        open_stream(admin, "GET", f"{path}/stream") as theirs,
        open_stream(key.http, "GET", f"{path}/stream") as owns,
    ):
        await _begun(theirs)
        await _change(server, made["prefix"], "scopes", ["runs", "threads:read"])
        event = await _last(theirs)
        assert (event.data["status"], event.data["detail"]) == (404, "Run not found")
        assert (await admin.get(path)).status_code == 404
        assert (await key.http.post(f"{path}/cancel?wait=1")).status_code in (200, 202)
        assert (await _last(owns)).name != "error"


async def test_a_run_s_stream_for_an_organization_ends_with_the_membership(server: LiveServer, key: Key) -> None:
    body = ENDLESS | {"on_disconnect": "cancel"}
    headers = {"x-organization-id": HARBOUR}
    async with open_stream(key.http, "POST", "/runs/stream", json=body, headers=headers) as stream:
        await _begun(stream)
        await _change(server, key.prefix, "organizations", [MEADOW])
        event = await _last(stream)
    assert (event.data["status"], event.data["field"]) == (403, "X-Organization-Id")


async def test_streams_of_those_who_may_go_on(server: LiveServer, key: Key) -> None:
    """A dozen looks later."""
    async with open_stream(key.http, "GET", WATCH) as stream:
        await _begun(stream)
        body = {"assistant_id": "counter", "input": {"until": 20, "delay": 0.1}}
        counted = (await key.http.post("/runs/wait", json=body)).json()
        assert counted["count"] == 20
        made = await key.http.post("/agents/instances", json={"agent_id": "still", "instance_id": "here"})
        assert made.status_code in (200, 201)
        async with asyncio.timeout(DEADLINE):
            event = await stream.next()
        assert event is not None and event.data["agent_id"] == "still"
