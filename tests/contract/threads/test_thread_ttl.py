"""`ttl` of threads: what clients set and see, and what a worker does when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from databases import fresh_database
from langgraph_sdk.client import LangGraphClient
from network.sse_client import problem_detail
from servers.live_server import LiveServer, live_server, until

SOON = 0.02
"""Minutes."""


@pytest.fixture(scope="module")
async def sweeping(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """A server that looks for expired threads all the time."""
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, AGENTHALL_THREAD_SWEEP="0.003") as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def database(sweeping: LiveServer) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(sweeping.database)
    yield connection
    await connection.close()


async def _ttl(client: LangGraphClient, thread: str) -> Any:
    return (await client.threads.get(thread, include=["ttl"])).get("ttl")


async def test_the_sdk_sets_a_ttl_and_sees_it_when_it_asks(client: LangGraphClient) -> None:
    created = await client.threads.create(ttl=5)
    thread = created["thread_id"]
    assert "ttl" not in created
    assert "ttl" not in await client.threads.get(thread)
    ttl = await _ttl(client, thread)
    assert (ttl["strategy"], ttl["ttl_minutes"]) == ("delete", 5)
    left = datetime.fromisoformat(ttl["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left < timedelta(minutes=6)
    await client.threads.update(thread, metadata={}, ttl={"ttl": 60.5, "strategy": "keep_latest"})
    ttl = await _ttl(client, thread)
    assert (ttl["strategy"], ttl["ttl_minutes"]) == ("keep_latest", 60.5)
    plain = await client.threads.create()
    assert await _ttl(client, plain["thread_id"]) is None


async def test_a_number_alone_is_minutes_with_the_strategy_delete(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={"ttl": 7})).json()["thread_id"]
    shown = (await http.get(f"/threads/{thread}?include=other,ttl")).json()
    assert (shown["ttl"]["strategy"], shown["ttl"]["ttl_minutes"]) == ("delete", 7)


@pytest.mark.parametrize(
    ("ttl", "field"),
    [
        ({}, "ttl"),
        ("5", "ttl"),
        (True, "ttl"),
        ([5], "ttl"),
        ({"ttl": "5"}, "ttl"),
        ({"ttl": 0}, "ttl"),
        (-1, "ttl"),
        ({"ttl": 1e300}, "ttl"),
        ({"ttl": 5, "strategy": "archive"}, "strategy"),
    ],
)
async def test_a_wrong_ttl_is_refused_by_its_name(http: httpx.AsyncClient, ttl: Any, field: str) -> None:
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    for method, path in (("POST", "/threads"), ("PATCH", f"/threads/{thread}")):
        answer = await http.request(method, path, json={"ttl": ttl})
        assert answer.status_code == 422, answer.text
        assert field in problem_detail(answer)
    assert "ttl" not in (await http.get(f"/threads/{thread}?include=ttl")).json()


async def test_an_existing_thread_keeps_its_ttl_when_it_is_created_again(client: LangGraphClient) -> None:
    thread = (await client.threads.create(ttl=5))["thread_id"]
    await client.threads.create(thread_id=thread, if_exists="do_nothing", ttl=9)
    assert (await _ttl(client, thread))["ttl_minutes"] == 5


async def test_a_thread_whose_ttl_is_over_goes_with_its_runs_and_states(
    sweeping: LiveServer, database: asyncpg.Connection[Any]
) -> None:
    client = sweeping.sdk()
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "counter", input={"until": 3})
    tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    count = " + ".join(f"(select count(*) from langgraph.{table} where thread_id = $1)" for table in tables)
    assert await database.fetchval(f"select {count}", thread) > 0
    await client.threads.update(thread, metadata={}, ttl={"ttl": SOON, "strategy": "delete"})
    await until(lambda: _is_gone(database, thread))
    assert await database.fetchval(f"select {count}", thread) == 0
    assert await database.fetchval("select count(*) from agenthall.runs where thread_id = $1", thread) == 0


async def _is_gone(database: asyncpg.Connection[Any], thread: str) -> bool:
    return await database.fetchval("select count(*) from agenthall.threads where thread_id = $1", thread) == 0


async def test_a_thread_with_a_run_outlives_its_ttl(sweeping: LiveServer, database: asyncpg.Connection[Any]) -> None:
    client = sweeping.sdk()
    thread, other = str(uuid4()), str(uuid4())
    for each in (thread, other):
        await client.threads.create(thread_id=each)
    run = await client.runs.create(thread, "counter", input={"until": 1000, "delay": 0.05})
    await until(lambda: _is_running(client, thread, run["run_id"]))
    for each in (thread, other):
        await client.threads.update(each, metadata={}, ttl={"ttl": 0.001, "strategy": "delete"})
    await until(lambda: _is_gone(database, other))
    assert (await client.threads.get(thread))["status"] == "busy"
    await client.runs.cancel(thread, run["run_id"], wait=True)
    await until(lambda: _is_gone(database, thread))


async def _is_running(client: LangGraphClient, thread: str, run: str) -> bool:
    return (await client.runs.get(thread, run))["status"] == "running"


async def test_keep_latest_leaves_the_thread_with_its_latest_state(
    sweeping: LiveServer,
) -> None:
    client = sweeping.sdk()
    thread = (await client.threads.create())["thread_id"]
    done = await client.runs.wait(thread, "counter", input={"until": 4})
    assert len(await client.threads.get_history(thread, limit=100)) > 4
    await client.threads.update(thread, metadata={}, ttl={"ttl": SOON, "strategy": "keep_latest"})
    await until(lambda: _is_pruned(client, thread))
    assert (await _ttl(client, thread))["expires_at"] is None
    assert (await client.threads.get_state(thread))["values"] == done
    again = await client.runs.wait(thread, "counter", input={"until": 6})
    assert again == {"until": 6, "count": 6, "seen": [1, 2, 3, 4, 5, 6]}


async def _is_pruned(client: LangGraphClient, thread: str) -> bool:
    return len(await client.threads.get_history(thread, limit=100)) == 1


async def test_threads_get_the_ttl_of_the_settings(postgres: str, template: str) -> None:
    settings = {"AGENTHALL_THREAD_TTL": "90", "AGENTHALL_THREAD_TTL_STRATEGY": "keep_latest"}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        client = server.sdk()
        created = (await client.threads.create())["thread_id"]
        named = (await client.threads.create(ttl=5))["thread_id"]
        implicit = str(uuid4())
        await client.runs.wait(implicit, "echo", input={"text": 1}, if_not_exists="create")
        for thread, wanted in {
            created: (90, "keep_latest"),
            named: (5, "delete"),
            implicit: (90, "keep_latest"),
        }.items():
            ttl = await _ttl(client, thread)
            assert (ttl["ttl_minutes"], ttl["strategy"]) == wanted


async def test_a_worker_deletes_idle_threads_and_keeps_the_latest_checkpoints(postgres: str, template: str) -> None:
    settings = {
        "AGENTHALL_THREAD_SWEEP": "0.003",
        "AGENTHALL_THREAD_MAX_IDLE": "60",
        "AGENTHALL_KEEP_CHECKPOINTS": "2",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        client, database = server.sdk(), await asyncpg.connect(url)
        idle = (await client.threads.create())["thread_id"]
        used = (await client.threads.create())["thread_id"]
        done = await client.runs.wait(used, "counter", input={"until": 4})
        age = "update agenthall.threads set {} = now() - interval '2 h' where thread_id = $1"
        await database.execute(age.format("state_updated_at"), used)
        await database.execute(age.format("updated_at"), idle)
        await until(lambda: _is_gone(database, idle))
        await until(lambda: _has_states(client, used, 2))
        assert (await client.threads.get_state(used))["values"] == done
        await database.close()


async def _has_states(client: LangGraphClient, thread: str, count: int) -> bool:
    return len(await client.threads.get_history(thread, limit=100)) == count
