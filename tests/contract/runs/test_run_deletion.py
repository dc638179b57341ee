"""DELETE /threads/{id}/runs/{id} and POST /runs/cancel."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError
from network.sse_client import problem_detail
from servers.live_server import until
from users.demo_users import HARBOUR

from contract.conftest import UserClientFactory

SLOW = {"until": 200, "delay": 0.2}


async def _status(client: LangGraphClient, thread: str, run: str) -> str:
    return str((await client.runs.get(thread, run))["status"])


async def test_a_finished_run_is_deleted_and_its_threads_state_stays(client: LangGraphClient, thread: str) -> None:
    done = await client.runs.wait(thread, "counter", input={"until": 2})
    (run,) = await client.runs.list(thread)
    await client.runs.delete(thread, run["run_id"])
    with pytest.raises(NotFoundError, match="Not Found"):
        await client.runs.get(thread, run["run_id"])
    with pytest.raises(NotFoundError, match="Run not found"):
        await client.runs.delete(thread, run["run_id"])
    assert await client.runs.list(thread) == []
    assert (await client.threads.get_state(thread))["values"] == done
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_a_running_run_is_stopped_and_the_next_one_begins(client: LangGraphClient, thread: str) -> None:
    first = await client.runs.create(thread, "counter", input=SLOW)

    async def is_running() -> bool:
        return await _status(client, thread, first["run_id"]) == "running"

    await until(is_running)
    second = await client.runs.create(thread, "counter", input={"until": 1, "delay": 0, "count": 0})
    await client.runs.delete(thread, first["run_id"])
    await client.runs.join(thread, second["run_id"])
    assert [each["run_id"] for each in await client.runs.list(thread)] == [second["run_id"]]
    assert await _status(client, thread, second["run_id"]) == "success"
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_a_stream_of_a_run_that_is_deleted_ends(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, "counter", input=SLOW)
    parts = []
    async for part in client.runs.join_stream(thread, run["run_id"], stream_mode="values"):
        parts.append(part)
        if len(parts) == 2:
            await client.runs.delete(thread, run["run_id"])
    assert parts


async def test_only_the_owner_may_delete(person: UserClientFactory) -> None:
    mine, other = person("delete-anna", HARBOUR), person("delete-bert", HARBOUR)
    thread = await mine.thread()
    run = await mine.sdk.runs.create(thread, "counter", input={"until": 1})
    with pytest.raises(NotFoundError):
        await other.sdk.runs.delete(thread, run["run_id"])
    await mine.sdk.runs.join(thread, run["run_id"])


async def test_runs_of_a_thread_are_cancelled_by_their_ids(client: LangGraphClient, thread: str) -> None:
    runs = [(await client.runs.create(thread, "counter", input=SLOW))["run_id"] for _ in range(3)]
    await client.runs.cancel_many(thread_id=thread, run_ids=[*runs[:2], str(uuid4())])

    async def are_cancelled() -> bool:
        return [await _status(client, thread, run) for run in runs[:2]] == ["interrupted"] * 2

    await until(are_cancelled)
    assert await _status(client, thread, runs[2]) in {"pending", "running"}
    await client.runs.cancel_many(thread_id=thread, run_ids=runs)
    with pytest.raises(NotFoundError, match="No runs found to cancel"):
        await client.runs.cancel_many(thread_id=thread, run_ids=[str(uuid4())])


async def test_all_runs_of_the_caller_are_cancelled_by_status_and_nobody_elses(person: UserClientFactory) -> None:
    mine, other = person(f"many-{uuid4()}", HARBOUR), person(f"others-{uuid4()}", HARBOUR)
    threads = [await mine.thread() for _ in range(2)]
    runs = [
        (thread, (await mine.sdk.runs.create(thread, "counter", input=SLOW))["run_id"])
        for thread in threads
        for _ in range(2)
    ]
    theirs = await other.thread()
    kept = (await other.sdk.runs.create(theirs, "counter", input={"until": 5, "delay": 0.1}))["run_id"]
    await mine.sdk.runs.cancel_many(status="pending")
    await mine.sdk.runs.cancel_many(status="all")

    async def are_cancelled() -> bool:
        return {await _status(mine.sdk, *run) for run in runs} == {"interrupted"}

    await until(are_cancelled)
    with pytest.raises(NotFoundError, match="No runs found to cancel"):
        await mine.sdk.runs.cancel_many(status="all")
    await other.sdk.runs.join(theirs, kept)
    assert await _status(other.sdk, theirs, kept) == "success"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"thread_id": str(uuid4())},
        {"run_ids": [str(uuid4())]},
        {"thread_id": str(uuid4()), "run_ids": [str(uuid4())], "status": "all"},
        {"thread_id": str(uuid4()), "status": "all"},
    ],
)
async def test_a_cancellation_names_runs_or_a_status(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await http.post("/runs/cancel", json=body)
    assert (answer.status_code, "either thread_id with run_ids, or status" in problem_detail(answer)) == (422, True)


async def test_an_unknown_status_and_action_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/runs/cancel", json={"status": "lazy"})).status_code == 422
    answer = await http.post("/runs/cancel?action=stop", json={"status": "all"})
    assert (answer.status_code, problem_detail(answer)) == (400, "action must be interrupt or rollback")
