"""A graph that nobody serves: its runs are refused at once, or say why they wait, and its assistants are not found by a
search."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from databases import fresh_database
from prometheus_client.parser import text_string_to_metric_families
from servers.live_server import GRAPHS, LiveServer, live_server, until

from robyn_server.core.ids import default_assistant_id

GONE = default_assistant_id("gone")
SERVED = orjson.dumps({"echo": GRAPHS["echo"]}).decode()
_IN_SERVICE = "select array_agg(graph_id) from agenthall.assistants where origin = 'graph' and retired_at is null"


@dataclass(frozen=True)
class Renamed:
    """A server that served the graph `gone` before. `own`: an assistant of a user that has it."""

    server: LiveServer
    http: httpx.AsyncClient
    own: str


@pytest.fixture(scope="module")
async def renamed(postgres: str, template: str) -> AsyncIterator[Renamed]:
    graphs = orjson.dumps({"echo": GRAPHS["echo"], "gone": GRAPHS["echo"]}).decode()
    async with fresh_database(postgres, template) as url:
        async with live_server(url, AGENTHALL_GRAPHS=graphs) as before, before.http() as http:
            own = (await http.post("/assistants", json={"graph_id": "gone", "name": "mine"})).json()["assistant_id"]
        async with live_server(url, AGENTHALL_GRAPHS=SERVED) as server, server.http() as http:
            yield Renamed(server, http, own)


@pytest.mark.parametrize("path", ["/runs", "/runs/wait", "/runs/stream", "/threads/{}/runs", "/threads/{}/runs/wait"])
async def test_a_run_of_an_unserved_graph_is_refused_at_once(renamed: Renamed, path: str) -> None:
    thread = (await renamed.http.post("/threads", json={})).json()["thread_id"]
    for assistant_id, status in ((renamed.own, 409), (str(GONE), 404)):
        answer = await renamed.http.post(path.format(thread), json={"assistant_id": assistant_id, "input": {}})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (status, "graph_not_served", "assistant_id")
        assert "graph 'gone'" in problem["detail"]
    assert (await renamed.http.get(f"/threads/{thread}/runs")).json() == []


async def test_assistants_of_an_unserved_graph_are_not_offered_and_keep_their_ids(renamed: Renamed) -> None:
    found = (await renamed.http.post("/assistants/search", json={"limit": 100})).json()
    assert {each["graph_id"] for each in found} == {"echo"}
    assert (await renamed.http.post("/assistants/search", json={"name": "mine"})).json() == []
    assert (await renamed.http.get(f"/assistants/{renamed.own}")).json()["graph_id"] == "gone"


@pytest.mark.parametrize("path", ["", "/graph", "/schemas", "/subgraphs"])
async def test_the_default_assistant_of_an_unserved_graph_is_retired_at_the_start(renamed: Renamed, path: str) -> None:
    answer = await renamed.http.get(f"/assistants/{GONE}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "graph_not_served")
    assert "is not offered since 20" in answer.json()["detail"] and "'gone'" in answer.json()["detail"]
    default = {"metadata": {"created_by": "system"}}
    assert (await renamed.http.post("/assistants/count", json=default)).json() == 1, "that of echo"
    assert (await renamed.http.get(f"/assistants/{renamed.own}{path}")).status_code == (409 if path else 200)
    for method, path_of in (
        ("PATCH", GONE),
        ("DELETE", GONE),
        ("POST", f"{GONE}/versions"),
        ("POST", f"{GONE}/latest"),
    ):
        changed = await renamed.http.request(method, f"/assistants/{path_of}", json={"version": 1})
        assert changed.status_code == 404, method


async def test_replicas_with_other_graphs_keep_each_others_default_assistants_in_service(
    postgres: str, template: str
) -> None:
    gone = orjson.dumps({"gone": GRAPHS["echo"]}).decode()
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_GRAPHS=gone) as old:

        async def in_service() -> Any:
            async with _database(old) as connection:
                return set(await connection.fetchval(_IN_SERVICE))

        async with old.http() as http:
            changed = await http.patch(f"/assistants/{GONE}", json={"metadata": {"note": "kept"}})
            assert changed.json()["version"] == 2
        async with live_server(url, AGENTHALL_GRAPHS=SERVED):
            assert await in_service() == {"gone", "echo"}
            for process in old.processes:
                process.popen.terminate()
                await process.ended()
            await until(lambda: _equals(in_service, {"echo"}))
        old.webs.clear()
        old.workers.clear()
        async with live_server(url, AGENTHALL_GRAPHS=gone) as again, again.http() as http:
            assert await in_service() == {"gone"}
            assistant = (await http.get(f"/assistants/{GONE}")).json()
            assert (assistant["metadata"]["note"], assistant["version"]) == ("kept", 2), "as it was"
            ran = await http.post("/runs/wait", json={"assistant_id": "gone", "input": {"text": "back"}})
            assert ran.json() == {"text": "back"}


async def _equals(ask: Any, wanted: Any) -> bool:
    return await ask() == wanted


async def test_an_assistant_can_move_to_a_served_graph(renamed: Renamed) -> None:
    made = await renamed.http.post("/assistants", json={"graph_id": "echo", "name": "moved"})
    assistant_id = made.json()["assistant_id"]
    async with _database(renamed.server) as connection:
        await connection.execute(
            "update agenthall.assistants set graph_id = 'gone', version = version + 1 where assistant_id = $1",
            UUID(assistant_id),
        )
    request = {"assistant_id": assistant_id, "input": {"text": "hello"}}
    assert (await renamed.http.post("/runs/wait", json=request)).status_code == 409
    await renamed.http.patch(f"/assistants/{assistant_id}", json={"graph_id": "echo"})
    assert (await renamed.http.post("/runs/wait", json=request)).json() == {"text": "hello"}


async def test_a_run_that_no_worker_can_take_says_so_in_the_run_the_log_and_the_metrics(renamed: Renamed) -> None:
    thread = (await renamed.http.post("/threads", json={})).json()["thread_id"]
    # created when a server still served the graph: an hour ago
    async with _database(renamed.server) as connection:
        run_id = await connection.fetchval(
            """insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, run_at)
               values (gen_random_uuid(), $1, $2, 1, 'gone', 'local', '{}', true, now() - interval '1 hour') returning run_id""",
            UUID(thread),
            UUID(renamed.own),
        )
    run = (await renamed.http.get(f"/threads/{thread}/runs/{run_id}")).json()
    assert run["status"] == "pending"
    assert run["metadata"]["agenthall_waiting"] == "No running worker serves the graph 'gone'."
    (listed,) = (await renamed.http.get(f"/threads/{thread}/runs")).json()
    assert listed["metadata"] == run["metadata"]

    async def logged() -> bool:
        return "runs wait for a graph that no running worker serves" in renamed.server.webs[0].read_log()

    await until(logged)
    assert await _unserved(renamed.http) == 1
    await renamed.http.post(f"/threads/{thread}/runs/{run_id}/cancel")
    cancelled = (await renamed.http.get(f"/threads/{thread}/runs/{run_id}")).json()
    assert "agenthall_waiting" not in cancelled["metadata"]
    assert await _unserved(renamed.http) == 0


async def test_runs_wait_without_a_notice_while_a_worker_serves_their_graph(renamed: Renamed) -> None:
    async with _database(renamed.server) as connection:
        assert await connection.fetchval("select agenthall.is_served('echo')")
        assert not await connection.fetchval("select agenthall.is_served('gone')")


async def test_a_worker_that_stops_serves_nothing_any_more(postgres: str, template: str) -> None:
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_GRAPHS=SERVED) as server:

        async def served() -> Any:
            async with _database(server) as connection:
                return await connection.fetchval("select agenthall.is_served('echo')")

        await until(served)
        (worker,) = server.workers
        worker.popen.terminate()
        await worker.ended()
        assert not await served()
        server.workers.clear()


async def _unserved(http: httpx.AsyncClient) -> float:
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    (sample,) = (sample for each in families if each.name == "agenthall_runs_unserved" for sample in each.samples)
    return sample.value


@contextlib.asynccontextmanager
async def _database(server: LiveServer) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(server.database)
    try:
        yield connection
    finally:
        await connection.close()
