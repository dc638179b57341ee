"""Two webs and a worker with REDIS_URL: what clients see when Redis, a worker or a web is killed, and without
REDIS_URL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from databases import fresh_database
from deadlines import DEADLINE
from event_transports import open_redis, redis_options
from remote.valkey_server import ValkeyServer, requires_valkey, valkey_server
from run_observer import LEASE, STEPS, StreamedRun, observe_database, start_streamed_run
from servers.live_server import LiveServer, free_port, live_server, until

from robyn_server.core.runs import EventTransport

pytestmark = requires_valkey
ALL = list(range(1, STEPS + 1))


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture(scope="module")
async def server(postgres: str, template: str, valkey: ValkeyServer) -> AsyncIterator[LiveServer]:
    settings = {
        "REDIS_URL": valkey.url,
        "AGENTHALL_RUN_LEASE": str(LEASE),
        "AGENTHALL_REDIS_TIMEOUT": "1",
        "AGENTHALL_RUN_MAX_ATTEMPTS": "20",
        "AGENTHALL_EVENT_TTL": "3600",
    }
    async with fresh_database(postgres, template) as url, live_server(url, webs=2, **settings) as server:
        yield server


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """Those of `conftest.py` are for events in PostgreSQL."""


async def _last_run(server: LiveServer, stream: StreamedRun) -> Any:
    async with observe_database(server.database) as observer:
        (run,) = await observer.rows("select * from agenthall.runs where thread_id::text = $1", stream.thread_id)
        rows = await observer.rows(
            "select event from agenthall.run_events where run_id = $1 order by seq", run["run_id"]
        )
    return run, [row["event"] for row in rows]


async def _is_kept_in_redis(server: LiveServer) -> bool:
    """Whether the events of a new run are in Redis only: its web process and its worker have both found Redis again."""
    stream = await start_streamed_run(server.sdk(), input={"until": 2})
    await stream.ended()
    return (await _last_run(server, stream))[1] == ["__last__", "__end__"]


async def _is_ready(http: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get("/ok")).status_code == 200
    return False


def _check_steps(stream: StreamedRun, *, losses: int) -> None:
    assert [part for part in stream.parts if part.event == "error"] == []
    assert [part for part in stream.parts if "missing_events" in str(part.data)] == []
    assert sorted(set(stream.finished_steps)) == ALL
    assert len(stream.finished_steps) <= STEPS + losses
    places = [int(each.partition("-")[2]) for each in stream.ids]
    assert places == sorted(set(places)), "each id comes once, and they increase"


async def test_a_stream_its_resumption_and_its_result(server: LiveServer) -> None:
    client = server.sdk()
    stream = await start_streamed_run(client)
    await stream.ended()
    _check_steps(stream, losses=0)
    run, in_postgres = await _last_run(server, stream)
    assert (run["event_transport"], run["status"]) == (EventTransport.REDIS, "success")
    assert in_postgres == ["__last__", "__end__"]
    run_id, position = str(run["run_id"]), 7
    for _ in range(4):  # whichever web answers
        again = [
            part async for part in client.runs.join_stream(stream.thread_id, run_id, last_event_id=stream.ids[position])
        ]
        assert [part.id for part in again] == stream.ids[position + 1 :]
        assert (await client.runs.join(stream.thread_id, run_id))["count"] == STEPS


async def test_a_note_stands_in_the_place_of_lost_events(server: LiveServer, valkey: ValkeyServer) -> None:
    client = server.sdk()
    stream = await start_streamed_run(client, input={"until": 3})
    await stream.ended()
    run, _ = await _last_run(server, stream)
    run_id = str(run["run_id"])
    async with open_redis(redis_options(valkey.url, "agenthall:")) as redis:
        await redis.streams.delete([run["run_id"]])
    last = int(stream.ids[-1].partition("-")[2])
    note = {"run_id": run_id, "attempt": 1, "missing_events": {"after": 2, "before": last + 1}}
    for modes in (None, ["updates"]):
        parts = [
            part
            async for part in client.runs.join_stream(
                stream.thread_id, run_id, last_event_id=stream.ids[2], stream_mode=modes
            )
        ]
        assert [(part.event, part.data, part.id) for part in parts] == [("metadata", note, stream.ids[-1])]
    async with server.http() as http:
        headers = {"last-event-id": f"{run_id}:{stream.ids[2]}"}
        async with http.stream("GET", f"/threads/{stream.thread_id}/stream", headers=headers) as answer:
            lines = [line async for line in _until(answer, "run_done")]
    assert sum("missing_events" in line for line in lines) == 1


async def _until(answer: httpx.Response, text: str) -> AsyncIterator[str]:
    async for line in answer.aiter_lines():
        yield line
        if text in line:
            return


async def test_followers_of_a_thread_get_all_of_its_runs(server: LiveServer) -> None:
    client = server.sdk()
    thread = await client.threads.create()
    found: list[str] = []

    async def follow() -> None:
        async with server.http() as http, http.stream("GET", f"/threads/{thread['thread_id']}/stream") as answer:
            async for line in answer.aiter_lines():
                found.extend([line] if "run_done" in line else [])

    following = asyncio.create_task(follow())
    for number in range(3):
        await client.runs.wait(thread["thread_id"], "echo", input={"text": number})
    await until(lambda: len(found) == 3)
    following.cancel()


async def test_a_stream_misses_nothing_when_redis_is_killed_and_starts_again(
    server: LiveServer, valkey: ValkeyServer
) -> None:
    stream = await start_streamed_run(server.sdk())
    await stream.reached(3)
    valkey.kill()
    await stream.reached(6)
    valkey.start()
    await stream.ended()
    _check_steps(stream, losses=0)
    run, in_postgres = await _last_run(server, stream)
    assert run["status"] == "success"
    assert in_postgres[-2:] == ["__last__", "__end__"] and len(in_postgres) > 2
    await until(lambda: _is_kept_in_redis(server))


async def test_a_stream_goes_on_with_another_worker_after_the_first_was_killed(server: LiveServer) -> None:
    stream = await start_streamed_run(server.sdk())
    await stream.reached(3)
    server.workers.pop(0).kill()
    server.add_worker()
    await stream.ended()
    _check_steps(stream, losses=1)
    run, in_postgres = await _last_run(server, stream)
    assert (run["status"], run["attempt"]) == ("success", 2)
    assert in_postgres[-2:] == ["__last__", "__end__"]


async def test_a_client_resumes_at_the_other_web_after_one_was_killed(server: LiveServer) -> None:
    streams = [await start_streamed_run(server.sdk()) for _ in range(3)]
    for stream in streams:
        await stream.reached(2)
    server.webs.pop(0).kill()
    for stream in streams:
        await stream.ended()
        _check_steps(stream, losses=0)


async def test_a_process_whose_password_is_refused_ends_and_says_why(server: LiveServer, valkey: ValkeyServer) -> None:
    server.environment["REDIS_URL"] = valkey.url.replace("redis://", "redis://nobody:hidden@")
    worker = server.add_worker()
    server.environment["REDIS_URL"] = valkey.url
    server.workers.remove(worker)
    assert await worker.ended() == 2
    await until(lambda: f"Redis at {valkey.url} refuses the user" in worker.read_log())
    assert "hidden" not in worker.read_log()


async def test_a_web_without_redis_says_so_and_has_the_results(server: LiveServer) -> None:
    stream = await start_streamed_run(server.sdk())
    port = free_port()
    with_redis = dict(server.environment)
    server.environment.pop("REDIS_URL")
    server.environment["AGENTHALL_PORT"] = str(port)
    web = server.add_web()
    server.environment |= with_redis
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE) as http:
        await until(lambda: _is_ready(http))
        run, _ = await _last_run(server, stream)
        path = f"/threads/{stream.thread_id}/runs/{run['run_id']}"
        refused = await http.get(f"{path}/stream")
        assert refused.status_code == 503
        assert "REDIS_URL" in refused.json()["detail"]
        assert (await http.get(f"{path}/join")).json()["count"] == STEPS
        created = await http.post("/threads", json={})
        thread_id = created.json()["thread_id"]
        run = (
            await http.post(f"/threads/{thread_id}/runs", json={"assistant_id": "echo", "input": {"text": 1}})
        ).json()
    async with observe_database(server.database) as observer:
        assert (await observer.run(run["run_id"]))["event_transport"] == EventTransport.POSTGRES
    assert (await server.sdk().runs.join(thread_id, run["run_id"]))["text"] == 1
    web.kill()
    server.webs.remove(web)
    await stream.ended()
