"""A new run beside open runs of its thread: multitask_strategy interrupt and rollback, and cancelling with a
rollback."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError
from network.sse_client import open_stream
from servers.live_server import until

from .test_run_cancel import under_way

STOPPING = ("interrupt", "rollback")


async def statuses(client: LangGraphClient, thread: str) -> list[str]:
    """The statuses of the thread's runs, oldest first."""
    return [run["status"] for run in reversed(await client.runs.list(thread, limit=100))]


async def runs_that_wrote(client: LangGraphClient, thread: str) -> set[str]:
    """The runs that the thread's checkpoints name."""
    states = await client.threads.get_history(thread, limit=100)
    return {state["metadata"]["run_id"] for state in states}  # type: ignore[typeddict-item]


async def is_gone(client: LangGraphClient, thread: str, run_id: str) -> bool:
    try:
        await client.runs.get(thread, run_id)
    except NotFoundError:
        return True
    return False


async def comparable(client: LangGraphClient, thread: str) -> tuple[Any, Any, Any]:
    """The thread, its state and its history, without times and without what names the last run."""
    row: dict[str, Any] = {**await client.threads.get(thread)}
    for name in ("updated_at", "config"):
        del row[name]
    return row, await client.threads.get_state(thread), await client.threads.get_history(thread, limit=100)


async def test_interrupt_stops_the_active_run_and_keeps_what_it_did(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    first = (await under_way(http, thread)).rpartition("/")[2]
    second = await client.runs.create(thread, "counter", input={"until": 1}, multitask_strategy="interrupt")
    values: Any = await client.runs.join(thread, second["run_id"])
    assert await statuses(client, thread) == ["interrupted", "success"]
    stopped: Any = await client.runs.get(thread, first)
    assert stopped["cancel_reason"] == f"stopped for run {second['run_id']} (multitask_strategy interrupt)"
    assert (await client.runs.get(thread, second["run_id"]))["cancel_reason"] is None  # type: ignore[typeddict-item]
    assert await runs_that_wrote(client, thread) == {first, second["run_id"]}
    assert values["count"] == values["seen"][-1] > 1, "it went on from the state that the first one left"


async def test_rollback_removes_the_active_run_with_what_it_did(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    before: Any = await client.runs.wait(thread, "counter", input={"until": 2})
    earlier = (await client.runs.list(thread))[0]["run_id"]
    gone = (await under_way(http, thread)).rpartition("/")[2]
    next_run = await client.runs.create(thread, "counter", input={"until": 1}, multitask_strategy="rollback")
    values: Any = await client.runs.join(thread, next_run["run_id"])
    assert await is_gone(client, thread, gone)
    assert await statuses(client, thread) == ["success", "success"]
    assert await runs_that_wrote(client, thread) == {earlier, next_run["run_id"]}
    assert values["seen"] == [*before["seen"], 3]


@pytest.mark.parametrize("strategy", STOPPING)
async def test_pending_runs_of_the_thread_are_stopped_as_well(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str, strategy: Any
) -> None:
    await under_way(http, thread)
    for after in (None, 3600):
        await client.runs.create(thread, "echo", input={"text": "never"}, after_seconds=after)
    last = await client.runs.create(thread, "echo", input={"text": "last"}, multitask_strategy=strategy)
    assert await client.runs.join(thread, last["run_id"]) == {"text": "last"}
    assert await statuses(client, thread) == ["interrupted"] * (3 if strategy == "interrupt" else 0) + ["success"]


@pytest.mark.parametrize("strategy", STOPPING)
async def test_a_thread_without_open_runs_takes_the_run(client: LangGraphClient, thread: str, strategy: Any) -> None:
    for text in ("one", "two"):
        answer = await client.runs.wait(thread, "echo", input={"text": text}, multitask_strategy=strategy)
        assert answer == {"text": text}
    assert await statuses(client, thread) == ["success", "success"]


async def test_of_many_that_each_stop_the_others_the_last_one_runs(client: LangGraphClient, thread: str) -> None:
    run_ids = []
    for number in range(10):
        run = await client.runs.create(
            thread, "counter", input={"until": number, "delay": 0.05}, multitask_strategy="rollback"
        )
        run_ids.append(run["run_id"])
    await client.runs.join(thread, run_ids[-1])
    assert [run["run_id"] for run in await client.runs.list(thread)] == run_ids[-1:]
    assert await runs_that_wrote(client, thread) == {run_ids[-1]}


async def test_a_stream_of_a_run_that_is_rolled_back_ends_without_an_error(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    path = await under_way(http, thread)
    async with open_stream(http, "GET", f"{path}/stream") as reading:
        assert await reading.next() is not None
        await client.runs.create(thread, "echo", input={"text": 1}, multitask_strategy="rollback")
        assert {event.name for event in await reading.read_rest()} <= {"values"}


async def test_the_sdk_s_stream_of_a_run_that_is_rolled_back_ends(client: LangGraphClient, thread: str) -> None:
    names = []
    body = {"until": 5000, "delay": 0.02}
    async for part in client.runs.stream(
        thread, "counter", input=body, config={"recursion_limit": 9999}, stream_resumable=True
    ):
        names.append(part.event)
        if names.count("values") == 3:
            run_id = (await client.runs.list(thread))[0]["run_id"]
            await client.runs.cancel(thread, run_id, action="rollback")
    assert set(names) == {"metadata", "values"}


async def test_the_first_run_of_a_thread_leaves_nothing_when_it_is_rolled_back(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    path = await under_way(http, thread)
    answer = await http.post(f"{path}/cancel", params={"wait": "1", "action": "rollback"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await http.get(path)).status_code == 404
    body = (await http.get(f"/threads/{thread}")).json()
    assert (body["status"], body["values"], body["error"]["error"]) == ("idle", None, "UserRollback")
    state = (await http.get(f"/threads/{thread}/state")).json()
    assert (state["values"], state["next"], state["checkpoint"]) == ({}, [], None)
    assert (await http.get(f"/threads/{thread}/history")).json() == []


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_rolled_back_answer_leaves_the_interrupt_open_as_it_was(
    client: LangGraphClient, thread: str, durability: Any
) -> None:
    await client.runs.wait(thread, "deliberate", input={"question": "sure?", "delay": 1000})
    before = await comparable(client, thread)
    assert before[0]["status"] == "interrupted"
    resumed = await client.runs.create(thread, "deliberate", command={"resume": "no"}, durability=durability)
    run_id = resumed["run_id"]
    await until(lambda: answered(client, thread, run_id, durability))
    await client.runs.cancel(thread, run_id, wait=True, action="rollback")
    assert await comparable(client, thread) == before
    await client.threads.update_state(thread, {"delay": 0})
    again = await client.runs.wait(thread, "deliberate", input=None)
    assert again["__interrupt__"][0]["value"] == {"question": "sure?"}  # type: ignore[index, call-overload]
    answer: Any = await client.runs.wait(thread, "deliberate", command={"resume": "yes"})
    assert answer["answer"] == "yes"


async def answered(client: LangGraphClient, thread: str, run_id: str, durability: str) -> bool:
    """The run has stored the answer; with durability `exit`, it has begun."""
    if durability == "exit":
        return (await client.runs.get(thread, run_id))["status"] == "running"
    return (await client.threads.get_state(thread))["next"] == ["dwell"]


async def test_a_failed_run_before_it_is_what_the_thread_shows_after_a_rollback(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    await client.runs.wait(thread, "failing", input={"text": "x"}, raise_error=False)
    row = (await http.get(f"/threads/{thread}")).json()
    path = await under_way(http, thread)
    await http.post(f"{path}/cancel", params={"wait": "1", "action": "rollback"})
    after = (await http.get(f"/threads/{thread}")).json()
    kept = ("status", "values", "error", "interrupts", "metadata", "state_updated_at")
    assert row["status"] == "error"
    assert {name: after[name] for name in kept} == {name: row[name] for name in kept}


async def test_a_pending_run_is_deleted_by_a_rollback(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, "echo", input={"text": "never"}, after_seconds=3600)
    await client.runs.cancel(thread, run["run_id"], action="rollback")
    assert await is_gone(client, thread, run["run_id"])
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_several_runs_are_rolled_back_at_once(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    running = (await under_way(http, thread)).rpartition("/")[2]
    waiting = await client.runs.create(thread, "echo", input={"text": "never"})
    named = [running, waiting["run_id"]]
    await client.runs.cancel_many(thread_id=thread, run_ids=named, action="rollback")
    await until(lambda: is_gone(client, thread, running))
    assert await client.runs.list(thread) == []
    assert await client.threads.get_history(thread) == []


async def test_a_rollback_that_was_asked_for_is_not_weakened_by_an_interrupt(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    path = await under_way(http, thread)
    assert (await http.post(f"{path}/cancel", params={"action": "rollback"})).status_code == 202
    await http.post(f"{path}/cancel", params={"action": "interrupt"})
    await until(lambda: is_gone(client, thread, path.rpartition("/")[2]))
