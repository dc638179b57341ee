"""GET /runs: the runs of all threads of a caller."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from servers.live_server import until
from users.demo_users import HARBOUR, MEADOW

from contract.conftest import UserClient, UserClientFactory


@pytest.fixture
def ada(person: UserClientFactory) -> UserClient:
    """A user without runs."""
    return person(f"ada-{uuid4()}", HARBOUR)


async def runs(client: httpx.AsyncClient, **where: Any) -> list[dict[str, Any]]:
    answer = await client.get("/runs", params=where)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["runs"])


async def test_runs_of_all_threads_are_listed_with_their_times(ada: UserClient) -> None:
    first, second = await ada.thread(), await ada.thread()
    await ada.sdk.runs.wait(first, "echo", input={"text": 1})
    failed = await ada.sdk.runs.create(second, "failing", input={"text": 1})
    await until(lambda: ada.has_status(second, failed["run_id"], "error"))
    waiting = await ada.sdk.runs.create(first, "echo", after_seconds=600)
    listed = await runs(ada.http)
    assert [run["status"] for run in listed] == ["pending", "error", "success"]
    assert [run["run_id"] for run in listed[:2]] == [waiting["run_id"], failed["run_id"]]
    success, error = listed[2], listed[1]
    assert success["assistant_name"] == "echo" and success["graph_id"] == "echo" and success["attempts"] == 1
    assert success["created_at"] <= success["started_at"] <= success["ended_at"]
    assert success["run_seconds"] > 0 and success["error"] is None
    assert error["error"]["type"] == "ValueError" and error["error"]["message"]
    assert (listed[0]["started_at"], listed[0]["run_seconds"], listed[0]["wait_seconds"]) == (None, None, 0)
    assert success.items() >= (await ada.sdk.runs.get(first, success["run_id"])).items()


async def test_filters_and_pages_are_combined(ada: UserClient) -> None:
    thread = await ada.thread()
    for text in range(5):
        await ada.sdk.runs.wait(thread, "echo", input={"text": text})
    listed = await runs(ada.http)
    page = (await ada.http.get("/runs", params={"limit": 2})).json()
    rest = (await ada.http.get("/runs", params={"limit": 5, "cursor": page["next_cursor"]})).json()
    assert page["runs"] + rest["runs"] == listed and rest["next_cursor"] is None
    assert await runs(ada.http, status="success", thread_id=thread) == listed
    assert await runs(ada.http, status="error") == []
    assert await runs(ada.http, created_after=listed[1]["created_at"]) == listed[:2]
    assert await runs(ada.http, created_before=listed[1]["created_at"]) == listed[2:]
    assert await runs(ada.http, assistant_id=listed[0]["assistant_id"]) == listed
    assert await runs(ada.http, assistant_id=str(uuid4())) == []


async def test_runs_of_others_are_not_listed(person: UserClientFactory, ada: UserClient) -> None:
    thread = await ada.thread()
    await ada.sdk.runs.wait(thread, "echo", input={"text": 1})
    for other in (person("colleague", HARBOUR), person("stranger", MEADOW)):
        assert await runs(other.http, thread_id=thread) == []
        assert thread not in {run["thread_id"] for run in await runs(other.http)}
    root = person("root", permissions=("admin",))
    assert [run["thread_id"] for run in await runs(root.http, thread_id=thread)] == [thread]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=done", "status"),
        ("assistant_id=echo", "assistant_id"),
        ("thread_id=1", "thread_id"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-01-31T12:00:00", "created_before"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("cursor=x", "cursor"),
        ("statuses=error", "statuses"),
    ],
)
async def test_a_bad_filter_is_named(ada: UserClient, query: str, field: str) -> None:
    answer = await ada.http.get(f"/runs?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
