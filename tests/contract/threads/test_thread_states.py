"""A thread's state and history."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import problem_detail

EMPTY = {
    "values": {},
    "next": [],
    "tasks": [],
    "metadata": None,
    "created_at": None,
    "checkpoint": None,
    "parent_checkpoint": None,
    "interrupts": [],
    "checkpoint_id": None,
    "parent_checkpoint_id": None,
}


@pytest.fixture
async def counted(client: LangGraphClient, thread: str) -> str:
    """A thread on which the counter went to 3: five checkpoints."""
    await client.runs.wait(thread, "counter", input={"until": 3}, metadata={"turn": "one"})
    return thread


async def test_a_thread_that_never_ran_has_an_empty_state_and_no_history(http: httpx.AsyncClient, thread: str) -> None:
    assert (await http.get(f"/threads/{thread}/state")).json() == EMPTY
    assert (await http.get(f"/threads/{thread}/history")).json() == []
    assert (await http.post(f"/threads/{thread}/history", json={})).json() == []


async def test_the_state_after_a_run_is_its_last_checkpoint(client: LangGraphClient, counted: str) -> None:
    state: dict[str, Any] = dict(await client.threads.get_state(counted))
    assert list(state) == list(EMPTY)
    assert state["values"] == {"until": 3, "count": 3, "seen": [1, 2, 3]}
    assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
    assert state["checkpoint"] == {"checkpoint_id": state["checkpoint_id"], "thread_id": counted, "checkpoint_ns": ""}
    assert state["parent_checkpoint"]["checkpoint_id"] == state["parent_checkpoint_id"]
    told = state["metadata"]
    assert (told["source"], told["step"], told["turn"], told["graph_id"]) == ("loop", 3, "one", "counter")
    assert told["run_attempt"] == 1


async def test_the_state_at_a_checkpoint_is_the_one_of_that_moment(client: LangGraphClient, counted: str) -> None:
    history = await client.threads.get_history(counted)
    early = history[2]
    assert early["values"] == {"until": 3, "count": 1, "seen": [1]}
    by_path = await client.threads.get_state(counted, checkpoint_id=early["checkpoint_id"])
    by_body = await client.threads.get_state(counted, checkpoint=early["checkpoint"])
    assert by_path["values"] == by_body["values"] == early["values"]
    assert by_path["next"] == ["step"]
    assert [task["name"] for task in by_path["tasks"]] == ["step"]


async def test_an_unknown_checkpoint_gives_the_empty_state(http: httpx.AsyncClient, counted: str) -> None:
    unknown = str(uuid4())
    assert (await http.get(f"/threads/{counted}/state/{unknown}")).json()["values"] == {}
    body = {"checkpoint": {"checkpoint_id": unknown}}
    assert (await http.post(f"/threads/{counted}/state/checkpoint", json=body)).json()["values"] == {}
    nowhere = {"checkpoint": {"checkpoint_ns": "nowhere:at-all"}}
    assert (await http.post(f"/threads/{counted}/state/checkpoint", json=nowhere)).json() == EMPTY
    assert (await http.post(f"/threads/{counted}/history", json=nowhere)).json() == []


@pytest.mark.parametrize("wrong", ["zzz", "%00", "1%27--"])
async def test_a_checkpoint_id_that_is_none_is_422(http: httpx.AsyncClient, counted: str, wrong: str) -> None:
    for path in (f"state/{wrong}", f"history?before={wrong}"):
        answer = await http.get(f"/threads/{counted}/{path}")
        assert (answer.status_code, problem_detail(answer)) == (422, "Invalid checkpoint ID: must be a UUID")


async def test_history_comes_newest_first_and_its_default_is_ten_by_get_and_one_by_post(
    client: LangGraphClient, http: httpx.AsyncClient, counted: str
) -> None:
    await client.runs.wait(counted, "counter", input={"until": 12})
    assert len((await http.get(f"/threads/{counted}/history")).json()) == 10
    assert len((await http.post(f"/threads/{counted}/history", json={})).json()) == 1
    states = await client.threads.get_history(counted, limit=100)
    assert [each["metadata"]["step"] for each in states] == list(range(len(states) - 2, -2, -1))
    assert states[-1]["parent_checkpoint"] is None


async def test_history_goes_on_before_a_checkpoint_named_by_id_or_as_an_object(
    client: LangGraphClient, http: httpx.AsyncClient, counted: str
) -> None:
    states = await client.threads.get_history(counted)
    third: Any = states[2]
    rest = [each["checkpoint_id"] for each in states[3:]]
    by_id = await client.threads.get_history(counted, before=third["checkpoint_id"])
    by_object = await client.threads.get_history(counted, before=third["checkpoint"])
    by_get = (
        await http.get(f"/threads/{counted}/history", params={"before": third["checkpoint_id"], "limit": 2})
    ).json()
    assert [each["checkpoint_id"] for each in by_id] == [each["checkpoint_id"] for each in by_object] == rest
    assert [each["checkpoint_id"] for each in by_get] == rest[:2]


async def test_history_is_filtered_by_the_checkpoints_metadata(client: LangGraphClient, counted: str) -> None:
    await client.runs.wait(counted, "counter", input={"until": 4}, metadata={"turn": "two"})
    assert len(await client.threads.get_history(counted, metadata={"turn": "two"})) == 3
    assert len(await client.threads.get_history(counted, metadata={"source": "input"})) == 2
    assert await client.threads.get_history(counted, metadata={"turn": "three"}) == []


@pytest.mark.parametrize(
    "body", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"before": 5}, {"before": "x"}, {"metadata": 1}]
)
async def test_a_history_out_of_range_is_422(http: httpx.AsyncClient, counted: str, body: Any) -> None:
    answer = await http.post(f"/threads/{counted}/history", json=body)
    assert answer.status_code == 422 and problem_detail(answer)


async def test_a_limit_that_is_no_number_is_400_in_a_query(http: httpx.AsyncClient, counted: str) -> None:
    assert (await http.get(f"/threads/{counted}/history", params={"limit": "zzz"})).status_code == 400


async def test_subgraphs_are_told_when_asked_for(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "family", input={"question": "who?"})
    plain = await client.threads.get_state(thread)
    full: Any = await client.threads.get_state(thread, subgraphs=True)
    assert plain["tasks"][0]["state"] is None
    pointer: Any = plain["tasks"][0]["checkpoint"]
    assert pointer["checkpoint_ns"].startswith("child:")
    inner = full["tasks"][0]["state"]
    assert full["tasks"][0]["checkpoint"] is None
    assert (inner["next"], inner["values"]) == (["ask"], {"question": "who?"})
    assert [each["value"] for each in inner["interrupts"]] == [{"question": "who?"}]
    by_pointer = await client.threads.get_state(thread, checkpoint=pointer)
    assert by_pointer["values"] == {"question": "who?"}


async def test_a_failed_task_tells_its_error(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "failing", input={"text": "x"}, raise_error=False)
    state: Any = await client.threads.get_state(thread)
    assert (state["next"], state["values"]) == (["fail"], {"text": "x"})
    assert state["tasks"][0]["error"] == "ValueError('this graph always fails')"
