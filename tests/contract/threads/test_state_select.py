"""`select` returns parts of a thread's state and of its history."""

from __future__ import annotations

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import problem_detail


@pytest.fixture
async def counted(client: LangGraphClient, thread: str) -> str:
    """A thread on which the counter went to 3: five checkpoints."""
    await client.runs.wait(thread, "counter", input={"until": 3})
    return thread


async def test_a_state_has_the_selected_members_only(client: LangGraphClient, counted: str) -> None:
    assert await client.threads.get_state(counted, select=["next", "values.count"]) == {
        "values": {"count": 3},
        "next": [],
    }
    assert await client.threads.get_state(counted, select=["values"], subgraphs=True) == {
        "values": {"until": 3, "count": 3, "seen": [1, 2, 3]}
    }


async def test_a_state_at_a_checkpoint_can_be_selected_by_path_and_body(client: LangGraphClient, counted: str) -> None:
    [*_, early] = await client.threads.get_history(counted, limit=3)
    wanted = {"values": {"count": 1}, "next": ["step"]}
    by_path = await client.threads.get_state(
        counted, checkpoint_id=early["checkpoint_id"], select=["next", "values.count"]
    )
    by_body = await client.threads.get_state(counted, checkpoint=early["checkpoint"], select=["next", "values.count"])
    assert by_path == by_body == wanted


async def test_a_history_has_the_selected_members_of_each_state(
    client: LangGraphClient, http: httpx.AsyncClient, counted: str
) -> None:
    wanted = [
        {"values": {"count": 3}},
        {"values": {"count": 2}},
        {"values": {"count": 1}},
        {"values": {}},
        {"values": {}},
    ]
    assert await client.threads.get_history(counted, select=["values.count"]) == wanted
    got = await http.get(f"/threads/{counted}/history", params={"select": ["values.count"], "limit": 2})
    assert got.json() == wanted[:2]


async def test_a_thread_that_never_ran_has_the_selected_members_of_the_empty_state(
    http: httpx.AsyncClient, thread: str
) -> None:
    answer = await http.get(f"/threads/{thread}/state", params={"select": ["next", "values.count", "checkpoint"]})
    assert answer.json() == {"values": {}, "next": [], "checkpoint": None}


async def test_an_unknown_member_is_refused_by_name(http: httpx.AsyncClient, counted: str) -> None:
    for method, path, body in (
        ("GET", "state?select=zzz", None),
        ("GET", "history?select=zzz", None),
        ("POST", "history", {"select": ["zzz"]}),
        ("POST", "state/checkpoint", {"checkpoint": {}, "select": ["zzz"]}),
    ):
        answer = await http.request(method, f"/threads/{counted}/{path}", json=body)
        assert answer.status_code == 422, path
        assert "'zzz'" in problem_detail(answer)
        assert answer.json()["field"] == "select"
