"""Runs on a thread: create, get, list, wait, join; queues, commands, interrupts, checkpoints."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError
from network.sse_client import problem_detail
from servers.live_server import until

FIELDS = [
    "run_id",
    "thread_id",
    "assistant_id",
    "metadata",
    "status",
    "kwargs",
    "multitask_strategy",
    "created_at",
    "updated_at",
    "langsmith_session_name",
    "cancel_reason",
]
SLOW = {"until": 1000, "delay": 0.02}
ECHO = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "echo"))


async def test_a_background_run_is_pending_and_says_where_it_is(http: httpx.AsyncClient, thread: str) -> None:
    answer = await http.post(f"/threads/{thread}/runs", json={"assistant_id": "echo", "input": {"text": 1}})
    run = answer.json()
    assert list(run) == FIELDS
    assert (run["status"], run["thread_id"], run["assistant_id"]) == ("pending", thread, ECHO)
    assert (run["multitask_strategy"], run["langsmith_session_name"]) == ("enqueue", None)
    assert run["kwargs"]["input"] == {"text": 1}
    assert UUID(run["run_id"]).version == 7
    assert answer.headers["content-location"] == f"/threads/{thread}/runs/{run['run_id']}"


async def test_a_joined_run_gives_its_last_values_and_is_then_a_success(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, ECHO, input={"text": "x"}, metadata={"m": 1})
    assert await client.runs.join(thread, run["run_id"]) == {"text": "x"}
    ended = await client.runs.get(thread, run["run_id"])
    assert (ended["status"], ended["metadata"]["m"]) == ("success", 1)
    assert (await client.threads.get(thread))["status"] == "idle"
    assert await client.runs.join(thread, run["run_id"]) == {"text": "x"}, "again, now that it is over"


async def test_runs_are_listed_newest_first_by_page_status_and_field(client: LangGraphClient, thread: str) -> None:
    for text in range(3):
        await client.runs.wait(thread, "echo", input={"text": text})
    failed = await client.runs.create(thread, "failing", input={"text": 3})
    await until(lambda: _has_status(client, thread, failed["run_id"], "error"))
    runs = await client.runs.list(thread)
    assert [run["kwargs"]["input"] for run in runs] == [{"text": text} for text in (3, 2, 1, 0)]
    assert await client.runs.list(thread, limit=2, offset=1) == runs[1:3]
    assert await client.runs.list(thread, status="error") == runs[:1]
    assert await client.runs.list(thread, select=["run_id", "status"], limit=1) == [
        {"run_id": runs[0]["run_id"], "status": "error"}
    ]


async def _has_status(client: LangGraphClient, thread: str, run_id: str, status: str) -> bool:
    return (await client.runs.get(thread, run_id))["status"] == status


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("status=zzz", 200),
        ("limit=zzz", 400),
        ("limit=0", 422),
        ("offset=-1", 422),
        (f"offset={10**30}", 422),
        ("select=zzz", 422),
    ],
)
async def test_a_strange_query_of_the_list(http: httpx.AsyncClient, thread: str, query: str, status: int) -> None:
    answer = await http.get(f"/threads/{thread}/runs?{query}")
    assert answer.status_code == status
    assert answer.json() == [] if status == 200 else problem_detail(answer)


async def test_what_is_unknown_is_named_as_the_reference_server_does(http: httpx.AsyncClient, thread: str) -> None:
    run = f"/threads/{thread}/runs"
    unknown_name = await http.post(run, json={"assistant_id": "nope"})
    assert unknown_name.status_code == 422
    assert problem_detail(unknown_name).startswith(
        "Invalid assistant: 'nope'. Must be either:\n- A valid assistant UUID, or\n- One of"
    )
    unknown_id = await http.post(run, json={"assistant_id": str(uuid4())})
    unknown_thread = await http.post(f"/threads/{uuid4()}/runs", json={"assistant_id": "echo"})
    for answer in (unknown_id, unknown_thread):
        assert (answer.status_code, problem_detail(answer)) == (404, "Thread or assistant not found.")
    bad_thread = await http.post("/threads/zzz/runs/stream", json={"assistant_id": "echo"})
    assert bad_thread.status_code == 400
    assert problem_detail(bad_thread).startswith("badly formed hexadecimal UUID string")
    missing = await http.get(f"{run}/{uuid4()}")
    assert (missing.status_code, problem_detail(missing)) == (404, "Not Found")
    bad_run = await http.get(f"{run}/zzz")
    assert (bad_run.status_code, problem_detail(bad_run)) == (422, "Invalid run ID: must be a UUID")
    joined = await http.get(f"{run}/{uuid4()}/join")
    assert (joined.status_code, problem_detail(joined)) == (404, "Run not found")


@pytest.mark.parametrize(
    "given",
    [
        {"assistant_id": None},
        {"assistant_id": 5},
        {"multitask_strategy": "zzz"},
        {"durability": "zzz"},
        {"on_disconnect": "zzz"},
        {"if_not_exists": "zzz"},
        {"after_seconds": "x"},
        {"after_seconds": -1},
        {"after_seconds": 10**12},
        {"webhook": ""},
        {"config": {"recursion_limit": 0}},
        {"config": {"configurable": []}},
        {"config": 5},
        {"context": []},
        {"metadata": "x"},
        {"command": {"goto": 5}},
        {"command": {"goto": {"input": 1}}},
        {"command": "x"},
        {"command": {"update": 5}},
        {"checkpoint_id": "zzz"},
        {"checkpoint": "x"},
        {"checkpoint": {"checkpoint_map": []}},
        {"interrupt_before": "node"},
        {"interrupt_after": 5},
        {"stream_subgraphs": "perhaps"},
    ],
)
async def test_a_field_of_the_wrong_type_is_422_and_nothing_is_started(
    http: httpx.AsyncClient, thread: str, given: Any
) -> None:
    answer = await http.post(f"/threads/{thread}/runs", json={"assistant_id": "echo", **given})
    assert answer.status_code == 422 and problem_detail(answer), answer.text
    assert (await http.get(f"/threads/{thread}/runs")).json() == []


async def test_a_failed_run_is_told_in_the_body_of_wait_and_join(http: httpx.AsyncClient, thread: str) -> None:
    told = {"__error__": {"error": "ValueError", "message": "this graph always fails"}}
    answer = await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "failing", "input": {"text": "x"}})
    assert (answer.status_code, answer.json()) == (200, told)
    run = answer.headers["content-location"]
    assert answer.headers["location"] == f"{run}/join"
    assert (await http.get(f"{run}/join")).json() == told
    assert (await http.get(run)).json()["status"] == "error"
    body = (await http.get(f"/threads/{thread}")).json()
    assert (body["status"], body["error"], body["values"]) == ("error", told["__error__"], {"text": "x"})


async def test_a_second_run_is_refused_with_409_when_it_says_reject(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, "counter", input=SLOW)
    assert (await client.threads.get(thread))["status"] == "busy"
    with pytest.raises(ConflictError, match="Thread is already running a task"):
        await client.runs.create(thread, "echo", multitask_strategy="reject")
    await client.runs.cancel(thread, run["run_id"], wait=True)
    assert await client.runs.wait(thread, "echo", input={"text": 1}, multitask_strategy="reject")


async def test_runs_of_a_thread_wait_for_each_other_and_keep_their_order(client: LangGraphClient, thread: str) -> None:
    runs = [await client.runs.create(thread, "counter", input={"until": 3 * turn}) for turn in range(1, 5)]
    assert await client.runs.join(thread, runs[-1]["run_id"]) == {"until": 12, "count": 12, "seen": list(range(1, 13))}
    assert {run["status"] for run in await client.runs.list(thread)} == {"success"}


async def test_a_thread_is_made_on_the_way_when_asked_for(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    wanted = str(uuid4())
    with pytest.raises(NotFoundError):
        await client.runs.create(wanted, "echo", input={"text": 1}, if_not_exists="reject")
    assert await client.runs.wait(wanted, "echo", input={"text": 1}, if_not_exists="create") == {"text": 1}
    assert (await client.threads.get(wanted))["metadata"] == {"graph_id": "echo", "assistant_id": ECHO}
    search = await http.post("/threads/search", json={"ids": [wanted]})
    assert len(search.json()) == 1


async def test_a_delayed_run_begins_later_and_keeps_its_thread_busy(client: LangGraphClient, thread: str) -> None:
    started = asyncio.get_running_loop().time()
    run = await client.runs.create(thread, "echo", input={"text": 1}, after_seconds=1)
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "pending"
    assert (await client.threads.get(thread))["status"] == "busy"
    assert await client.runs.join(thread, run["run_id"]) == {"text": 1}
    assert asyncio.get_running_loop().time() - started > 0.9


async def test_an_interrupt_leaves_the_run_a_success_and_the_thread_interrupted(
    client: LangGraphClient, thread: str
) -> None:
    given = {"question": "deploy?"}
    chunks = [
        chunk async for chunk in client.runs.stream(thread, "approval", input=given, stream_mode=["values", "updates"])
    ]
    assert [chunk.event for chunk in chunks] == ["metadata", "values", "updates", "values"]
    [interrupt] = chunks[2].data["__interrupt__"]
    assert interrupt["value"] == {"question": "deploy?"}
    assert chunks[3].data == {"question": "deploy?", "__interrupt__": [interrupt]}
    body = await client.threads.get(thread)
    assert body["status"] == "interrupted"
    assert list(body["interrupts"].values()) == [[{"id": interrupt["id"], "value": {"question": "deploy?"}}]]
    [run] = await client.runs.list(thread)
    assert run["status"] == "success"
    state: Any = await client.threads.get_state(thread)
    assert (state["next"], state["interrupts"][0]["id"]) == (["ask"], interrupt["id"])


@pytest.mark.parametrize("by_id", [False, True])
async def test_a_command_answers_the_interrupt(client: LangGraphClient, thread: str, by_id: bool) -> None:
    await client.runs.wait(thread, "approval", input={"question": "deploy?"})
    [[interrupt]] = (await client.threads.get(thread))["interrupts"].values()
    answer: Any = {interrupt["id"]: {"ok": True}} if by_id else {"ok": True}
    values = await client.runs.wait(thread, "approval", command={"resume": answer})
    assert values == {"question": "deploy?", "answer": {"ok": True}}
    body = await client.threads.get(thread)
    assert (body["status"], body["interrupts"]) == ("idle", {})


async def test_a_command_wins_over_an_input(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "approval", input={"question": "first"})
    values = await client.runs.wait(thread, "approval", input={"question": "second"}, command={"resume": "yes"})
    assert values == {"question": "first", "answer": "yes"}


async def test_a_command_goes_to_nodes_and_updates_the_state(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "road", input={"note": "a"})
    values = await client.runs.wait(thread, "road", command={"goto": "siding", "update": {"note": "b"}})
    assert values == {"passed": ["first", "second", "siding"], "note": "b"}
    send: Any = {"goto": [{"node": "siding", "input": {}}, "second"]}
    values = await client.runs.wait(thread, "road", command=send)
    assert sorted(values["passed"][3:]) == ["second", "siding"]


async def test_a_run_stops_before_a_node_and_goes_on_with_no_input(client: LangGraphClient, thread: str) -> None:
    chunks = [
        chunk
        async for chunk in client.runs.stream(
            thread, "road", input={"note": "a"}, interrupt_before=["second"], stream_mode="updates"
        )
    ]
    assert [chunk.data for chunk in chunks[1:]] == [{"first": {"passed": ["first"]}}, {"__interrupt__": []}]
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert (await client.threads.get_state(thread))["next"] == ["second"]
    assert (await client.runs.wait(thread, "road", input=None))["passed"] == ["first", "second"]
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_a_run_stops_after_every_node(client: LangGraphClient, thread: str) -> None:
    values = await client.runs.wait(thread, "road", input={"note": "a"}, interrupt_after="*")
    assert values["passed"] == ["first"]
    assert (await client.threads.get(thread))["status"] == "interrupted"
    values = await client.runs.wait(thread, "road", input=None, interrupt_after="*")
    assert values["passed"] == ["first", "second"]
    assert (await client.threads.get(thread))["status"] == "idle", "there was nothing left to do"


@pytest.mark.parametrize("on_completion", ["delete", "keep"])
async def test_a_run_without_a_thread_stops_at_a_breakpoint(client: LangGraphClient, on_completion: Any) -> None:
    given: Any = {"input": {"note": "a"}, "on_completion": on_completion}
    for breakpoint_ in ({"interrupt_before": ["second"]}, {"interrupt_after": ["first"]}, {"interrupt_after": "*"}):
        assert (await client.runs.wait(None, "road", **given, **breakpoint_))["passed"] == ["first"], breakpoint_
        streamed = client.runs.stream(None, "road", **given, **breakpoint_, stream_mode="updates")
        chunks = [chunk.data async for chunk in streamed if chunk.event != "metadata"]
        assert chunks == [{"first": {"passed": ["first"]}}, {"__interrupt__": []}], breakpoint_
    assert (await client.runs.wait(None, "road", **given, interrupt_before=["never"]))["passed"] == ["first", "second"]


@pytest.mark.parametrize(
    "given", [{"checkpoint_id": str(UUID(int=1))}, {"checkpoint": {"checkpoint_id": str(UUID(int=1))}}]
)
async def test_a_run_without_a_thread_starts_from_no_checkpoint(http: httpx.AsyncClient, given: dict[str, Any]) -> None:
    for path in ("/runs", "/runs/wait", "/runs/stream"):
        answer = await http.post(path, json={"assistant_id": "road", "input": {}} | given)
        assert (answer.status_code, answer.json()["field"]) == (422, *given)


@pytest.mark.parametrize("as_object", [True, False])
async def test_a_run_forks_from_an_earlier_checkpoint(client: LangGraphClient, thread: str, as_object: bool) -> None:
    await client.runs.wait(thread, "counter", input={"until": 3})
    early: Any = (await client.threads.get_history(thread))[2]
    where: Any = {"checkpoint": early["checkpoint"]} if as_object else {"checkpoint_id": early["checkpoint_id"]}
    chunks = [chunk async for chunk in client.runs.stream(thread, "counter", stream_mode="updates", **where)]
    assert [chunk.data for chunk in chunks[1:]] == [{"step": {"count": n, "seen": [n]}} for n in (2, 3)]
    assert (await client.threads.get_state(thread))["values"] == {"until": 3, "count": 3, "seen": [1, 2, 3]}
    assert len(await client.threads.get_history(thread)) > 5


@pytest.mark.parametrize("given", [{}, {"input": {"text": 2}}])
async def test_an_unknown_checkpoint_is_an_error_and_not_an_empty_state(
    http: httpx.AsyncClient, thread: str, given: dict[str, Any]
) -> None:
    await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "echo", "input": {"text": 1}})
    body = {"assistant_id": "echo", "checkpoint_id": str(uuid4()), **given}
    answer = await http.post(f"/threads/{thread}/runs/wait", json=body)
    assert answer.json()["__error__"]["error"] == "CheckpointNotFound"
    assert (await http.get(f"/threads/{thread}/state")).json()["values"] == {"text": 1}


@pytest.mark.parametrize(
    ("given", "checkpoints"),
    [({"durability": "exit"}, 1), ({"durability": "sync"}, 5), ({}, 5), ({"checkpoint_during": False}, 1)],
)
async def test_durability_decides_how_many_checkpoints_are_kept(
    http: httpx.AsyncClient, thread: str, given: dict[str, Any], checkpoints: int
) -> None:
    body = {"assistant_id": "counter", "input": {"until": 3}, **given}
    assert (await http.post(f"/threads/{thread}/runs/wait", json=body)).json()["count"] == 3
    assert len((await http.get(f"/threads/{thread}/history")).json()) == checkpoints


async def test_the_recursion_limit_of_a_run_holds(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "counter", "input": {"until": 50}, "config": {"recursion_limit": 3}}
    told = (await http.post(f"/threads/{thread}/runs/wait", json=body)).json()["__error__"]
    assert told["error"] == "GraphRecursionError"
    assert told["message"].startswith("Recursion limit of 3 reached without hitting a stop condition.")
