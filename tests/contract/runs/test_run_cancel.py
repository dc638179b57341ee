"""Cancelling runs, by request and by leaving."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from endless_run import ENDLESS
from langgraph_sdk.client import LangGraphClient
from network.sse_client import event_names, open_stream, problem_detail
from servers.live_server import until


async def under_way(http: httpx.AsyncClient, thread: str, **more: Any) -> str:
    """The path of a run that counts and counts, and has begun."""
    run = (await http.post(f"/threads/{thread}/runs", json=ENDLESS | more)).json()["run_id"]
    path = f"/threads/{thread}/runs/{run}"
    await until(lambda: counts(http, thread))
    return path


async def counts(http: httpx.AsyncClient, thread: str) -> bool:
    """The run has made its first steps, and they are in its checkpoints."""
    return bool((await http.get(f"/threads/{thread}/state")).json()["values"].get("count"))


async def has(http: httpx.AsyncClient, path: str, status: str) -> bool:
    return bool((await http.get(path)).json()["status"] == status)


async def interrupted(http: httpx.AsyncClient, path: str) -> None:
    await until(lambda: has(http, path, "interrupted"))
    thread = (await http.get("/".join(path.split("/")[:3]))).json()
    assert (thread["status"], thread["error"]["error"]) == ("interrupted", "UserInterrupt")


async def test_a_running_run_is_told_to_stop(http: httpx.AsyncClient, thread: str) -> None:
    path = await under_way(http, thread)
    answer = await http.post(f"{path}/cancel", params={"wait": "0", "action": "interrupt"})
    assert (answer.status_code, answer.content) == (202, b"")
    await interrupted(http, path)
    state = (await http.get(f"/threads/{thread}/state")).json()
    assert state["next"] == ["step"], "it could go on"


async def test_waiting_for_the_end_gives_200_and_the_last_values(http: httpx.AsyncClient, thread: str) -> None:
    path = await under_way(http, thread)
    answer = await http.post(f"{path}/cancel", params={"wait": "1"})
    assert answer.status_code == 200
    assert isinstance(answer.json(), dict)
    assert (answer.headers["location"], answer.headers["content-location"]) == (f"{path}/join", path)
    assert (await http.get(path)).json()["status"] == "interrupted", "before the answer is complete"


async def test_open_streams_close_and_open_joins_answer(http: httpx.AsyncClient, thread: str) -> None:
    path = await under_way(http, thread)
    joining = asyncio.create_task(http.get(f"{path}/join"))
    async with open_stream(http, "GET", f"{path}/stream") as reading:
        assert await reading.next() is not None
        assert (await http.post(f"{path}/cancel")).status_code == 202
        assert set(event_names(await reading.read_rest())) <= {"values"}
    joined = await joining
    assert joined.status_code == 200
    assert joined.json()["count"] >= 1


async def test_a_pending_run_ends_at_once(http: httpx.AsyncClient, thread: str) -> None:
    body = ENDLESS | {"after_seconds": 60}
    run = (await http.post(f"/threads/{thread}/runs", json=body)).json()["run_id"]
    path = f"/threads/{thread}/runs/{run}"
    answer = await http.post(f"{path}/cancel", params={"wait": "1"})
    assert (answer.status_code, answer.json()) == (200, {})
    await until(lambda: has(http, path, "interrupted"))


@pytest.mark.parametrize("how", ["cancel", "delete"])
@pytest.mark.parametrize("settled", ["idle", "interrupted"])
async def test_a_run_that_never_began_leaves_its_thread_as_it_was(
    client: LangGraphClient, thread: str, settled: str, how: str
) -> None:
    if settled == "interrupted":
        await client.runs.wait(thread, "approval", input={"question": "now?"})
    before = await client.threads.get(thread)
    run = (await client.runs.create(thread, before["metadata"].get("graph_id", "echo"), after_seconds=60))["run_id"]
    assert (await client.threads.get(thread))["status"] == "busy"
    await (client.runs.cancel(thread, run) if how == "cancel" else client.runs.delete(thread, run))
    after = await client.threads.get(thread)
    kept = ("status", "values", "interrupts")
    assert [after.get(name) for name in kept] == [before.get(name) for name in kept]
    assert after["status"] == settled


async def test_the_next_run_of_the_thread_goes_on_after_a_cancel(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    path = await under_way(http, thread)
    queued = await client.runs.create(thread, "echo", input={"text": "next"})
    await http.post(f"{path}/cancel")
    values: Any = await client.runs.join(thread, queued["run_id"])
    assert values["text"] == "next"


async def test_a_run_in_the_middle_of_a_queue_can_be_cancelled(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    path = await under_way(http, thread)
    middle = await client.runs.create(thread, "failing")
    last = await client.runs.create(thread, "echo", input={"text": "last"})
    await client.runs.cancel(thread, middle["run_id"])
    assert (await client.runs.get(thread, middle["run_id"]))["status"] == "interrupted"
    assert (await client.threads.get(thread))["status"] == "busy"
    await http.post(f"{path}/cancel")
    values: Any = await client.runs.join(thread, last["run_id"])
    assert values["text"] == "last"


async def test_what_is_over_or_unknown_cannot_be_cancelled(http: httpx.AsyncClient, thread: str) -> None:
    done = (
        await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "echo", "input": {"text": 1}})
    ).headers
    over = await http.post(f"{done['content-location']}/cancel")
    assert over.status_code == 404 and problem_detail(over).startswith("No matching runs to cancel.")
    unknown = await http.post(f"/threads/{thread}/runs/{uuid4()}/cancel")
    assert (unknown.status_code, problem_detail(unknown)) == (404, "No runs found to cancel.")
    strange = await http.post(f"{done['content-location']}/cancel", params={"action": "zzz"})
    assert strange.status_code in (400, 422)


@pytest.mark.parametrize("way", ["stream", "wait"])
async def test_a_run_whose_client_leaves_is_cancelled_if_it_was_asked_for(
    http: httpx.AsyncClient, thread: str, way: str
) -> None:
    body = ENDLESS | {"on_disconnect": "cancel"}
    async with http.stream("POST", f"/threads/{thread}/runs/{way}", json=body) as answer:
        path = answer.headers["content-location"]
        await until(lambda: has(http, path, "running"))
    await interrupted(http, path)


@pytest.mark.parametrize("way", ["stream", "join"])
async def test_a_joiner_who_leaves_cancels_the_run_if_it_was_asked_for(
    http: httpx.AsyncClient, thread: str, way: str
) -> None:
    path = await under_way(http, thread)
    async with http.stream("GET", f"{path}/{way}", params={"cancel_on_disconnect": "true"}) as answer:
        assert answer.status_code == 200
    await interrupted(http, path)


async def test_a_joiner_who_leaves_lets_it_run_otherwise(http: httpx.AsyncClient, thread: str) -> None:
    path = await under_way(http, thread, stream_resumable=True)
    async with open_stream(http, "GET", f"{path}/stream") as reading:
        left = await reading.next()
        assert left is not None
    async with open_stream(http, "GET", f"{path}/stream") as reading:
        later = await reading.next()
        assert later is not None and later.data["count"] > left.data["count"]
    assert (await http.post(f"{path}/cancel", params={"wait": "1"})).status_code == 200
