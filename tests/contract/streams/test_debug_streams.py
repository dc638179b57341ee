"""The stream modes `tasks`, `checkpoints` and `debug`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from langgraph_sdk.client import LangGraphClient

CONFIG = ["checkpoint_ns", "thread_id", "checkpoint_id", "run_id", "graph_id", "assistant_id"]


async def _events(client: LangGraphClient, thread: str | None, mode: Any, graph: str, **given: Any) -> list[Any]:
    stream = client.runs.stream(thread, graph, stream_mode=mode, **given)  # type: ignore[call-overload]
    return [(part.event, part.data) async for part in stream if part.event != "metadata"]


async def test_tasks_begin_with_their_input_and_end_with_their_result(client: LangGraphClient, thread: str) -> None:
    events = await _events(client, thread, "tasks", "counter", input={"until": 2})
    assert [event for event, _ in events] == ["tasks"] * 4
    began, ended = events[0][1], events[1][1]
    assert began["id"] == ended["id"]
    assert (began["name"], began["input"], began["triggers"]) == ("step", {"until": 2, "seen": []}, ["branch:to:step"])
    assert began["metadata"]["graph_id"] == "counter"
    assert (ended["result"], ended["error"], ended["interrupts"]) == ({"count": 1, "seen": [1]}, None, [])


async def test_each_checkpoint_is_told_with_its_name_and_state(client: LangGraphClient, thread: str) -> None:
    events = await _events(client, thread, "checkpoints", "counter", input={"until": 2})
    assert {event for event, _ in events} == {"checkpoints"}
    history = list(reversed(await client.threads.get_history(thread)))
    told = [data for _, data in events]
    assert [data["config"]["configurable"]["checkpoint_id"] for data in told] == [
        state["checkpoint"]["checkpoint_id"] for state in history
    ]
    assert [data["values"] for data in told] == [state["values"] for state in history]
    assert [data["next"] for data in told] == [state["next"] for state in history]
    assert told[0]["parent_config"] is None
    for earlier, data in pairwise(told):
        assert data["parent_config"] == earlier["config"]
        assert sorted(data["config"]["configurable"]) == sorted(CONFIG)
        assert set(data["metadata"]) >= {"source", "step"}


async def test_debug_tells_of_checkpoints_tasks_and_results(client: LangGraphClient, thread: str) -> None:
    events = await _events(client, thread, "debug", "counter", input={"until": 1})
    assert {event for event, _ in events} == {"debug"}
    kinds = [data["type"] for _, data in events]
    assert kinds == ["checkpoint", "checkpoint", "task", "task_result", "checkpoint"]
    last = events[-1][1]["payload"]
    assert last["checkpoint"] == {
        "checkpoint_id": last["config"]["configurable"]["checkpoint_id"],
        "checkpoint_ns": "",
        "thread_id": thread,
    }
    assert last["parent_checkpoint"]["checkpoint_id"] == last["parent_config"]["configurable"]["checkpoint_id"]


async def test_nothing_of_the_config_but_names_is_told(client: LangGraphClient, thread: str) -> None:
    config: Any = {"configurable": {"private": "hush"}}
    events = await _events(client, thread, ["debug", "checkpoints"], "counter", input={"until": 1}, config=config)
    told = [data.get("payload", data) for _, data in events]
    assert all("private" not in str(data.get("config")) for data in told)


async def test_subgraphs_tell_of_theirs_under_their_namespace(client: LangGraphClient, thread: str) -> None:
    events = await _events(client, thread, ["tasks", "checkpoints"], "family", input={}, stream_subgraphs=True)
    names = {event.partition("|")[0] for event, _ in events}
    assert names == {"tasks", "checkpoints"}
    assert any("|" in event for event, _ in events)


async def test_modes_go_together_and_without_a_thread(client: LangGraphClient) -> None:
    events = await _events(client, None, ["values", "tasks", "debug"], "counter", input={"until": 1})
    assert {event for event, _ in events} == {"values", "tasks", "debug"}
    assert events[-1][0] in {"values", "debug"}
