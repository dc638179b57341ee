"""`supersteps` of POST /threads: a thread that is created with states."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import problem_detail
from servers.live_server import LiveServer


def _step(*updates: Any) -> dict[str, Any]:
    return {"updates": [{"values": values, "as_node": as_node} for values, as_node in updates]}


SEED = [_step(({"until": 4}, "__start__")), _step(({"count": 1, "seen": [1]}, "step"))]


async def test_each_superstep_is_a_state_and_a_run_goes_on_from_the_last(client: LangGraphClient) -> None:
    thread: Any = await client.threads.create(graph_id="counter", supersteps=SEED, metadata={"tag": "seeded"})
    seeded = {"until": 4, "count": 1, "seen": [1]}
    assert (thread["values"], thread["status"], thread["interrupts"]) == (seeded, "interrupted", {})
    assert thread["metadata"] == {"tag": "seeded", "graph_id": "counter"}
    history = await client.threads.get_history(thread["thread_id"])
    assert [(each["values"], each["next"]) for each in history] == [
        (seeded, ["step"]),
        ({"until": 4, "seen": []}, ["step"]),
    ]
    assert all((each["metadata"] or {})["source"] == "update" for each in history)
    (found,) = await client.threads.search(ids=[thread["thread_id"]], values={"count": 1})
    assert found["values"] == seeded
    done = await client.runs.wait(thread["thread_id"], "counter", input=None)
    assert done == {"until": 4, "count": 4, "seen": [1, 2, 3, 4]}


async def test_a_conversation_that_had_ended_is_idle(client: LangGraphClient) -> None:
    seed = [_step(({"until": 1}, "__start__")), _step(({"count": 1, "seen": [1]}, "step"))]
    thread: Any = await client.threads.create(graph_id="counter", supersteps=seed)
    assert thread["status"] == "idle"
    done = await client.runs.wait(thread["thread_id"], "counter", input={"until": 3})
    assert done["seen"] == [1, 2, 3]


async def test_updates_of_one_superstep_are_one_state(client: LangGraphClient) -> None:
    together = _step(({"passed": ["first"]}, "first"), ({"passed": ["siding"]}, "siding"))
    thread: Any = await client.threads.create(graph_id="road", supersteps=[together])
    assert sorted(thread["values"]["passed"]) == ["first", "siding"]
    assert len(await client.threads.get_history(thread["thread_id"])) == 1


async def test_a_command_updates_and_goes_elsewhere(client: LangGraphClient) -> None:
    command = {"update": {"passed": ["first"]}, "goto": "siding"}
    step = {"updates": [{"values": None, "command": command, "as_node": "first"}]}
    thread: Any = await client.threads.create(graph_id="road", supersteps=[step])
    state = await client.threads.get_state(thread["thread_id"])
    assert (state["values"]["passed"], sorted(state["next"])) == (["first"], ["second", "siding"])  # type: ignore[call-overload]


async def test_a_thread_that_exists_keeps_its_states(client: LangGraphClient) -> None:
    thread: Any = await client.threads.create(graph_id="counter", supersteps=SEED)
    again = await client.threads.create(
        thread_id=thread["thread_id"], if_exists="do_nothing", graph_id="counter", supersteps=SEED
    )
    assert again == thread
    assert len(await client.threads.get_history(thread["thread_id"])) == 2


@pytest.mark.parametrize(
    ("graph_id", "supersteps", "status", "reason"),
    [
        (None, SEED, 400, "supersteps: name the graph as `graph_id` in the thread's metadata"),
        (7, SEED, 400, "supersteps: name the graph as `graph_id` in the thread's metadata"),
        ("none-such", SEED, None, "none-such"),
        ("counter", [*SEED, _step(({"count": 2}, "nope"))], 400, "nope"),
        ("counter", [*SEED, _step(({"seen": 5}, "step"))], 400, "TypeError"),
        ("counter", [{"updates": []}], 422, "updates"),
        ("counter", [{}], 422, "updates"),
        ("counter", {"updates": []}, 422, "supersteps"),
        ("counter", [{"updates": [{"values": {}}]}], 422, "as_node"),
        (
            "counter",
            [{"updates": [{"as_node": "step", "values": {}, "command": {"goto": "step"}}]}],
            422,
            "values and command: name one of them",
        ),
        ("counter", [{"updates": [{"as_node": "step", "command": {"resume": 1}}]}], 422, "command.resume"),
    ],
)
async def test_what_is_refused_leaves_no_thread(
    http: httpx.AsyncClient, server: LiveServer, graph_id: Any, supersteps: Any, status: int | None, reason: str
) -> None:
    thread = str(uuid4())
    metadata = {} if graph_id is None else {"graph_id": graph_id}
    body = {"thread_id": thread, "metadata": metadata, "supersteps": supersteps}
    answer = await http.post("/threads", json=body)
    assert answer.status_code == status or (status is None and 400 <= answer.status_code < 500), answer.text
    assert reason in problem_detail(answer)
    assert (await http.get(f"/threads/{thread}")).status_code == 404
    connection = await asyncpg.connect(server.database)
    try:
        assert await connection.fetchval("select count(*) from langgraph.checkpoints where thread_id = $1", thread) == 0
    finally:
        await connection.close()
