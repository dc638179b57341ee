"""Joining a run that somebody began: replay, live tail, chosen modes; and stateless runs, which have no thread to come
back to."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import Event, event_names, join_stream, open_stream, post_stream, problem_detail
from servers.live_server import LiveServer, until

SLOW = {"until": 40, "delay": 0.03}


@pytest.fixture
async def told(http: httpx.AsyncClient, thread: str) -> tuple[str, list[Event]]:
    """The path and the events of a resumable run that has ended."""
    body = {"assistant_id": "counter", "input": {"until": 3}, "stream_mode": ["values", "updates", "custom"]}
    answer, events = await post_stream(http, f"/threads/{thread}/runs/stream", body | {"stream_resumable": True})
    return answer.headers["location"], events


async def test_minus_one_replays_everything_with_the_metadata(
    http: httpx.AsyncClient, told: tuple[str, list[Event]]
) -> None:
    path, events = told
    assert await join_stream(http, path, "-1") == events
    assert events[0].name == "metadata"


async def test_an_id_gives_what_came_strictly_later(http: httpx.AsyncClient, told: tuple[str, list[Event]]) -> None:
    path, events = told
    for place in (0, 1, 4, len(events) - 1):
        assert await join_stream(http, path, events[place].id) == events[place + 1 :]


async def test_no_id_after_the_end_gives_nothing(http: httpx.AsyncClient, told: tuple[str, list[Event]]) -> None:
    assert await join_stream(http, told[0]) == []


async def test_zero_replays_everything_too(http: httpx.AsyncClient, told: tuple[str, list[Event]]) -> None:
    path, events = told
    assert await join_stream(http, path, "0") == events


async def test_an_id_that_was_never_given_gives_nothing_and_ends(
    http: httpx.AsyncClient, told: tuple[str, list[Event]]
) -> None:
    path, events = told
    assert await join_stream(http, path, "1-999999999") == []
    assert await join_stream(http, path, "-1") == events, "and others are still served"


@pytest.mark.parametrize(
    "garbage", ["garbage", "1-", "-", "1-x", "-2", "1-99999999999999999999", "1795289023357-0", "1.0"]
)
async def test_an_id_that_is_none_is_refused_by_name(
    http: httpx.AsyncClient, told: tuple[str, list[Event]], garbage: str
) -> None:
    answer = await http.get(told[0], headers={"last-event-id": garbage})
    assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


async def test_an_id_beyond_a_running_run_waits_for_its_end_only(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "counter", "input": SLOW, "stream_resumable": True}
    run = (await http.post(f"/threads/{thread}/runs", json=body)).json()["run_id"]
    events = await join_stream(http, f"/threads/{thread}/runs/{run}/stream", "1-999999999")
    assert events[-1].data["count"] == 40


@pytest.mark.parametrize(
    "query",
    ["stream_mode=custom&stream_mode=updates", 'stream_mode=["updates","custom"]', "stream_mode=updates,custom"],
)
async def test_a_join_takes_its_modes_in_every_form(
    http: httpx.AsyncClient, told: tuple[str, list[Event]], query: str
) -> None:
    path, events = told
    found = await join_stream(http, f"{path}?{query}", "-1")
    assert found == [event for event in events if event.name in ("metadata", "custom", "updates")]


@pytest.mark.parametrize(("query", "kept"), [("stream_mode=", None), ("stream_mode=custom", {"metadata", "custom"})])
async def test_no_mode_means_all_and_one_means_one(
    http: httpx.AsyncClient, told: tuple[str, list[Event]], query: str, kept: set[str] | None
) -> None:
    path, events = told
    assert await join_stream(http, f"{path}?{query}", "-1") == [
        event for event in events if kept is None or event.name in kept
    ]


@pytest.mark.parametrize("query", ["stream_mode=[", "stream_mode=[1", "stream_mode=%7B%7D", "stream_mode=zzz"])
async def test_a_mode_that_is_none_gives_400_or_nothing(
    http: httpx.AsyncClient, told: tuple[str, list[Event]], query: str
) -> None:
    answer = await http.get(f"{told[0]}?{query}", headers={"last-event-id": "-1"})
    assert answer.status_code in (200, 400)


async def test_each_kind_of_messages_can_be_chosen_when_joining(http: httpx.AsyncClient, thread: str) -> None:
    body = {
        "assistant_id": "agent",
        "input": {"messages": [{"role": "user", "content": "hello"}]},
        "stream_resumable": True,
    }
    answer, _ = await post_stream(
        http, f"/threads/{thread}/runs/stream", body | {"stream_mode": ["messages", "messages-tuple"]}
    )
    path = answer.headers["location"]
    accumulated = set(event_names(await join_stream(http, path, "-1", stream_mode="messages")))
    assert accumulated == {"metadata", "messages/metadata", "messages/partial"}
    assert set(event_names(await join_stream(http, path, "-1", stream_mode="messages-tuple"))) == {
        "metadata",
        "messages",
    }


async def test_a_run_that_is_not_resumable_replays_nothing(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "counter", "input": {"until": 3}}
    answer, _ = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    for last in (None, "-1", "1-1"):
        assert await join_stream(http, answer.headers["location"], last) == []


async def test_joining_a_running_run_without_an_id_gives_its_live_tail(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "counter", "input": SLOW, "stream_mode": ["updates", "values"], "stream_resumable": True}
    async with open_stream(http, "POST", f"/threads/{thread}/runs/stream", json=body) as first:
        while (event := await first.next()) is not None and event.data.get("count", 0) < 5:
            pass
        tail = await join_stream(http, first.headers["location"], stream_mode="updates")
        counts = [each.data["step"]["count"] for each in tail]
        assert counts == list(range(counts[0], 41))
        assert counts[0] >= 5
        assert (await first.read_rest())[-1].data["count"] == 40


async def test_the_sdk_joins_and_resumes(
    client: LangGraphClient, http: httpx.AsyncClient, told: tuple[str, list[Event]]
) -> None:
    path, events = told
    _, _, thread, _, run, _ = path.split("/")
    everything = [each async for each in client.runs.join_stream(thread, run, last_event_id="-1")]
    assert [(each.event, each.id) for each in everything] == [(each.name, each.id) for each in events]
    chosen: Any = ["updates", "custom"]
    some = [each.event async for each in client.runs.join_stream(thread, run, last_event_id="-1", stream_mode=chosen)]
    assert set(some) == {"metadata", "updates", "custom"}
    assert [each async for each in client.runs.join_stream(thread, run)] == []


async def test_a_missing_run_is_404(http: httpx.AsyncClient, thread: str) -> None:
    missing = uuid4()
    for path in (
        f"/threads/{thread}/runs/{missing}/stream",
        f"/threads/{uuid4()}/runs/{missing}/stream",
        f"/runs/{missing}/stream",
    ):
        answer = await http.get(path)
        assert (answer.status_code, problem_detail(answer)) == (404, "Run not found")


async def test_a_run_is_not_found_under_another_thread(
    http: httpx.AsyncClient, told: tuple[str, list[Event]], client: LangGraphClient
) -> None:
    run = told[0].split("/")[4]
    other = (await client.threads.create())["thread_id"]
    assert (await http.get(f"/threads/{other}/runs/{run}/stream")).status_code == 404
    assert (await http.get(f"/threads/{other}/runs/{run}/join")).status_code == 404
    assert (await http.get(f"/threads/{other}/runs/{run}")).status_code == 404
    assert (await http.post(f"/threads/{other}/runs/{run}/cancel")).status_code == 404


async def test_a_stateless_run_takes_its_thread_with_it(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": "x"}})
    assert answer.json() == {"text": "x"}
    run = answer.headers["content-location"]
    assert answer.headers["location"] == f"{run}/join"
    thread = "/".join(run.split("/")[:3])
    gone = await http.get(run)
    assert (gone.status_code, gone.json()["detail"]) == (404, f"Thread with ID {thread[9:]} not found")
    assert (await http.get(thread)).status_code == 404


async def test_a_stateless_run_that_failed_is_told_and_gone_too(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "failing", "input": {"text": "x"}})
    assert answer.json()["__error__"]["error"] == "ValueError"
    assert (await http.get(answer.headers["content-location"])).status_code == 404


async def test_keep_keeps_the_thread_of_a_stateless_run(http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "echo", "input": {"text": "x"}, "on_completion": "keep"}
    answer = await http.post("/runs/wait", json=body)
    run = answer.headers["content-location"]
    assert (await http.get(run)).json()["status"] == "success"
    thread = run.split("/")[2]
    assert (await http.get(f"/threads/{thread}/state")).json()["values"] == {"text": "x"}
    assert len((await http.post("/threads/search", json={"ids": [thread]})).json()) == 1


async def test_a_stateless_background_run_says_where_it_is_and_its_thread_is_not_found_by_search(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post("/runs", json={"assistant_id": "counter", "input": SLOW})
    run = answer.json()
    assert answer.headers["content-location"] == f"/runs/{run['run_id']}"
    search = await http.post("/threads/search", json={"ids": [run["thread_id"]]})
    assert search.json() == []
    assert (await http.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}/join")).json()["count"] == 40
    assert (await http.get(f"/threads/{run['thread_id']}")).status_code == 404


async def test_the_location_of_a_stateless_stream_can_be_followed(http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "counter", "input": SLOW, "stream_resumable": True}
    async with open_stream(http, "POST", "/runs/stream", json=body) as first:
        path, run = first.headers["location"], first.headers["content-location"]
        assert path == f"{run}/stream"
        began = [await first.next() for _ in range(3)]
        resumed = await join_stream(http, path, began[-1].id if began[-1] else None)
        assert resumed == await first.read_rest()
        assert resumed[-1].data["count"] == 40


async def test_fields_of_stateful_runs_are_ignored_on_stateless_ones(http: httpx.AsyncClient) -> None:
    extra = {"multitask_strategy": "reject", "if_not_exists": "create", "checkpoint_id": None}
    answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": 1}, **extra})
    assert answer.json() == {"text": 1}


async def test_a_deleted_thread_takes_a_running_run_along_and_closes_its_streams(
    http: httpx.AsyncClient, server: LiveServer, thread: str
) -> None:
    body = {"assistant_id": "counter", "input": {"until": 2000, "delay": 0.02}, "config": {"recursion_limit": 3000}}
    async with open_stream(http, "POST", f"/threads/{thread}/runs/stream", json=body) as reading:
        run = reading.headers["content-location"].rpartition("/")[2]
        while (event := await reading.next()) is not None and event.data.get("count", 0) < 2:
            pass
        assert (await http.delete(f"/threads/{thread}")).status_code == 204
        last = (await reading.read_rest())[-1:]
        assert not last or last[0].data["count"] < 2000
    await until(lambda: any("run dropped" in line and run in line for line in _worker_lines(server)))


def _worker_lines(server: LiveServer) -> list[str]:
    return server.workers[0].read_log().splitlines()
