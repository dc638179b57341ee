"""POST /threads/{id}/state: a thread's state is changed as one of its nodes would have changed it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError
from network.sse_client import problem_detail
from servers.live_server import until
from users.demo_users import HARBOUR

from contract.conftest import UserClientFactory


@pytest.fixture
async def counted(client: LangGraphClient, thread: str) -> str:
    """A thread on which the counter went to 3."""
    await client.runs.wait(thread, "counter", input={"until": 3})
    return thread


async def test_an_update_is_a_checkpoint_through_the_reducers_of_the_channels(
    client: LangGraphClient, counted: str
) -> None:
    before = await client.threads.get(counted)
    written: dict[str, Any] = dict(
        await client.threads.update_state(counted, {"count": 7, "seen": [7]}, as_node="step")
    )
    assert list(written) == ["checkpoint", "configurable", "checkpoint_id"]
    assert written["checkpoint"] == written["configurable"]
    assert written["checkpoint"] == {
        "thread_id": counted,
        "checkpoint_ns": "",
        "checkpoint_id": written["checkpoint_id"],
    }
    state = await client.threads.get_state(counted)
    assert state["values"] == {"until": 3, "count": 7, "seen": [1, 2, 3, 7]}
    assert state["checkpoint"] == written["checkpoint"]
    assert (state["metadata"] or {})["source"] == "update"
    thread = await client.threads.get(counted)
    assert (thread["values"], thread["status"]) == (state["values"], "idle")
    assert thread["state_updated_at"] > before["state_updated_at"]
    (found,) = await client.threads.search(ids=[counted], values={"count": 7})
    assert found["thread_id"] == counted


async def test_without_a_node_it_is_the_last_one_that_ran(client: LangGraphClient, counted: str) -> None:
    await client.threads.update_state(counted, {"count": 1})
    state = await client.threads.get_state(counted)
    assert (state["values"]["count"], state["next"]) == (1, ["step"])  # type: ignore[call-overload]
    assert (await client.threads.get(counted))["status"] == "interrupted"
    done = await client.runs.wait(counted, "counter", input=None)
    assert done == {"until": 3, "count": 3, "seen": [1, 2, 3, 2, 3]}
    assert (await client.threads.get(counted))["status"] == "idle"


async def test_null_values_only_say_that_a_node_has_run(client: LangGraphClient, counted: str) -> None:
    await client.threads.update_state(counted, None, as_node="__start__")
    state = await client.threads.get_state(counted)
    assert state["values"] == {"until": 3, "count": 3, "seen": [1, 2, 3]}


@pytest.mark.parametrize("form", ["checkpoint", "checkpoint_id"])
async def test_an_update_of_an_earlier_checkpoint_forks_the_thread(
    http: httpx.AsyncClient, client: LangGraphClient, counted: str, form: str
) -> None:
    early = (await client.threads.get_history(counted))[2]
    assert early["values"]["count"] == 1  # type: ignore[call-overload]
    named = early["checkpoint"] if form == "checkpoint" else early["checkpoint"]["checkpoint_id"]
    body = {"values": {"until": 2}, "as_node": "step", form: named}
    answer = await http.post(f"/threads/{counted}/state", json=body)
    assert answer.status_code == 200, answer.text
    state = await client.threads.get_state(counted)
    assert state["values"] == {"until": 2, "count": 1, "seen": [1]}
    assert (state["parent_checkpoint"] or {})["checkpoint_id"] == early["checkpoint"]["checkpoint_id"]
    assert await client.runs.wait(counted, "counter", input=None) == {"until": 2, "count": 2, "seen": [1, 2]}


async def test_a_person_may_correct_a_state_before_the_graph_goes_on(client: LangGraphClient, thread: str) -> None:
    """The interrupt is open before and after, and the answer meets the corrected state."""
    asked: Any = await client.runs.wait(thread, "approval", input={"question": "leave?"})
    assert asked["__interrupt__"]
    await client.threads.update_state(thread, {"question": "leave now?"}, as_node="__start__")
    changed = await client.threads.get(thread)
    assert changed["status"] == "interrupted"
    done: Any = await client.runs.wait(thread, "approval", input=None)
    assert done["question"] == "leave now?"


async def test_what_the_graph_refuses_is_400_with_its_reason(client: LangGraphClient, counted: str) -> None:
    with pytest.raises(BadRequestError, match="Node nope does not exist"):
        await client.threads.update_state(counted, {"count": 1}, as_node="nope")
    with pytest.raises(BadRequestError, match="TypeError"):
        await client.threads.update_state(counted, {"seen": 7}, as_node="step")
    assert len(await client.threads.get_history(counted)) == 5, "nothing was written"


async def test_a_thread_without_a_graph_is_400_until_its_metadata_names_one(
    client: LangGraphClient, thread: str
) -> None:
    with pytest.raises(BadRequestError, match="has no assigned graph ID"):
        await client.threads.update_state(thread, {"count": 1})
    with pytest.raises(NotFoundError, match="not found"):
        await client.threads.update_state(str(uuid4()), {"count": 1})
    named = await client.threads.create(graph_id="counter")
    await client.threads.update_state(named["thread_id"], {"until": 2, "count": 1}, as_node="step")
    assert await client.runs.wait(named["thread_id"], "counter", input=None) == {"until": 2, "count": 2, "seen": [2]}


@pytest.mark.parametrize(
    ("body", "field"),
    [({"values": "text"}, "values"), ({"values": {}, "as_node": 7}, "as_node"), ({"checkpoint": "x"}, "checkpoint")],
)
async def test_a_wrong_type_is_422_by_its_field(
    http: httpx.AsyncClient, counted: str, body: dict[str, Any], field: str
) -> None:
    answer = await http.post(f"/threads/{counted}/state", json=body)
    assert (answer.status_code, field in problem_detail(answer)) == (422, True), answer.text


async def test_beside_a_run_it_is_409_and_a_run_that_starts_meanwhile_waits(
    client: LangGraphClient, thread: str
) -> None:
    run = await client.runs.create(thread, "counter", input={"until": 100, "delay": 0.2})
    with pytest.raises(ConflictError, match="Thread is busy with a running job"):
        await client.threads.update_state(thread, {"count": 1}, as_node="step")
    await client.runs.cancel(thread, run["run_id"], wait=True)

    async def is_free() -> bool:
        return (await client.runs.get(thread, run["run_id"]))["status"] not in {"pending", "running"}

    await until(is_free)
    await client.threads.update_state(thread, {"until": 5, "count": 4, "delay": 0}, as_node="step")
    done: Any = await client.runs.wait(thread, "counter", input=None)
    assert done["count"] == 5


async def test_updates_at_once_are_made_one_after_the_other(client: LangGraphClient, counted: str) -> None:
    await asyncio.gather(
        *(client.threads.update_state(counted, {"seen": [10 + number]}, as_node="step") for number in range(8))
    )
    seen = (await client.threads.get_state(counted))["values"]["seen"]  # type: ignore[call-overload]
    assert (seen[:3], sorted(seen[3:])) == ([1, 2, 3], list(range(10, 18)))


async def test_only_the_owner_may_update(person: UserClientFactory) -> None:
    mine, other = person("update-anna", HARBOUR), person("update-bert", HARBOUR)
    thread = await mine.thread()
    await mine.sdk.runs.wait(thread, "counter", input={"until": 1})
    with pytest.raises(NotFoundError):
        await other.sdk.threads.update_state(thread, {"count": 5}, as_node="step")
    assert (await mine.sdk.threads.get_state(thread))["values"]["count"] == 1  # type: ignore[call-overload]
