"""Streams of runs, byte by byte and event by event."""

from __future__ import annotations

import itertools
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import HEARTBEAT, event_names, open_stream, parse_events, post_stream

COUNT = {"assistant_id": "counter", "input": {"until": 2}}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


async def test_a_stream_is_framed_as_the_reference_server_does(http: httpx.AsyncClient, thread: str) -> None:
    answer = await http.post(f"/threads/{thread}/runs/stream", json={"assistant_id": "echo", "input": {"text": "x"}})
    run = answer.headers["content-location"]
    run_id = run.rpartition("/")[2]
    assert answer.content.replace(b": heartbeat\r\n\r\n", b"") == (
        b'event: metadata\r\ndata: {"run_id":"%b","attempt":1}\r\n\r\n'
        b'event: values\r\ndata: {"text":"x"}\r\n\r\n'
        b'event: values\r\ndata: {"text":"x"}\r\n\r\n'
    ) % (run_id.encode(),)
    assert run.startswith(f"/threads/{thread}/runs/")
    assert answer.headers["location"] == f"{run}/stream"
    assert answer.headers["content-type"].replace(" ", "") == "text/event-stream;charset=utf-8"
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"


async def test_ids_come_after_the_data_only_on_resumable_streams_and_rise(http: httpx.AsyncClient, thread: str) -> None:
    path = f"/threads/{thread}/runs/stream"
    _, plain = await post_stream(http, path, COUNT)
    _, resumable = await post_stream(http, path, COUNT | {"stream_resumable": True, "input": {"until": 6}})
    assert {event.id for event in plain} == {None}
    ids = [tuple(map(int, (event.id or "").split("-"))) for event in resumable]
    assert ids == sorted(set(ids))
    assert len(ids) == len(resumable) > 4


@pytest.mark.parametrize("modes", [None, [], "values", ["values"]])
async def test_values_are_the_default_and_begin_with_the_input(
    http: httpx.AsyncClient, thread: str, modes: Any
) -> None:
    _, events = await post_stream(http, f"/threads/{thread}/runs/stream", COUNT | {"stream_mode": modes})
    assert event_names(events) == ["metadata", "values", "values", "values"]
    assert [event.data.get("count") for event in events[1:]] == [None, 1, 2]


async def test_several_modes_are_interleaved_in_the_graphs_order(http: httpx.AsyncClient, thread: str) -> None:
    body = COUNT | {"stream_mode": ["custom", "values", "updates"]}
    _, events = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    step = ["custom", "updates", "values"]
    assert event_names(events) == ["metadata", "values", *step, *step]
    assert [event.data for event in events if event.name == "custom"] == [{"at": 1}, {"at": 2}]
    assert [event.data for event in events if event.name == "updates"] == [
        {"step": {"count": n, "seen": [n]}} for n in (1, 2)
    ]


async def test_messages_tuples_are_chunks_with_their_metadata(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "agent", "input": HELLO, "stream_mode": "messages-tuple"}
    _, events = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    assert set(event_names(events[1:])) == {"messages"}
    chunks = [event.data for event in events[1:]]
    assert {chunk["type"] for chunk, _ in chunks} == {"AIMessageChunk"}
    assert len({chunk["id"] for chunk, _ in chunks}) == 1
    assert all(told["graph_id"] == "agent" and told["langgraph_node"] == "model" for _, told in chunks)
    whole = (await http.get(f"/threads/{thread}/state")).json()["values"]["messages"][-1]
    assert "".join(chunk["content"] for chunk, _ in chunks) == whole["content"]
    assert len(chunks) > 2


async def test_messages_are_accumulated_after_their_metadata_came_once(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "agent", "input": HELLO, "stream_mode": "messages"}
    _, events = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    assert event_names(events[1:3]) == ["messages/metadata", "messages/partial"]
    assert event_names(events).count("messages/metadata") == 1
    [(message_id, told)] = events[1].data.items()
    assert told["metadata"]["graph_id"] == "agent"
    partial = [event.data[0] for event in events if event.name == "messages/partial"]
    assert all(each["type"] == "ai" and each["id"] == message_id for each in partial)
    assert all(later["content"].startswith(earlier["content"]) for earlier, later in itertools.pairwise(partial))
    whole = (await http.get(f"/threads/{thread}/state")).json()["values"]["messages"][-1]
    assert partial[-1]["content"] == whole["content"]


async def test_both_kinds_of_messages_can_be_asked_for_at_once(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "agent", "input": HELLO, "stream_mode": ["messages", "messages-tuple", "updates"]}
    _, events = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    assert {"messages", "messages/metadata", "messages/partial", "updates"} <= set(event_names(events))


async def test_subgraphs_stream_under_their_namespace_when_asked_for(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "family", "input": {"question": "who?"}, "stream_mode": ["values", "updates"]}
    _, within = await post_stream(http, f"/threads/{thread}/runs/stream", body | {"stream_subgraphs": True})
    inner = [name for name in event_names(within) if "|" in name]
    assert {name.partition("|")[0] for name in inner} >= {"values"}
    assert all(name.partition("|")[2].startswith("child:") for name in inner)
    again = (await http.post("/threads", json={})).json()["thread_id"]
    _, without = await post_stream(http, f"/threads/{again}/runs/stream", body)
    assert not [name for name in event_names(without) if "|" in name]


async def test_a_failure_is_an_error_event_and_the_last(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "failing", "input": {"text": "x"}}
    answer, events = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    assert event_names(events) == ["metadata", "values", "error"]
    assert events[-1].data == {"error": "ValueError", "message": "this graph always fails"}
    assert (await http.get(answer.headers["content-location"])).json()["status"] == "error"


async def test_the_status_is_committed_before_the_stream_closes(http: httpx.AsyncClient) -> None:
    for _ in range(15):
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        answer, events = await post_stream(http, f"/threads/{thread}/runs/stream", COUNT)
        assert (await http.get(answer.headers["content-location"])).json()["status"] == "success"
        body = (await http.get(f"/threads/{thread}")).json()
        assert (body["status"], body["values"]) == ("idle", events[-1].data)


async def test_a_silent_stream_beats(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "counter", "input": {"until": 1, "delay": 1.2}}
    answer = await http.post(f"/threads/{thread}/runs/stream", json=body)
    assert answer.content.count(HEARTBEAT + b"\r\n\r\n") >= 1
    assert event_names(parse_events(answer.content)) == ["metadata", "values", "values"]


async def test_a_silent_wait_beats_with_newlines(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "counter", "input": {"until": 1, "delay": 1.2}}
    answer = await http.post(f"/threads/{thread}/runs/wait", json=body)
    assert answer.content.startswith(b"\n")
    assert answer.json()["count"] == 1
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("kind", ["huge", "nul", "surrogate", "keys", "deep", "bytes"])
async def test_what_has_no_json_form_is_told_all_the_same(http: httpx.AsyncClient, kind: str) -> None:
    """The run may fail where a checkpoint cannot hold it, but it ends, and everybody is told."""
    body = {"assistant_id": "odd", "input": {"kind": kind}}
    _, events = await post_stream(http, "/runs/stream", body)
    assert event_names(events) == ["metadata", "values", "values"]
    waited = await http.post("/runs/wait", json=body)
    assert waited.json()["kind"] == kind
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    answer, events = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    run = (await http.get(answer.headers["content-location"])).json()
    state = await http.get(f"/threads/{thread}/state")
    assert state.status_code == 200
    assert run["status"] == ("error" if events[-1].name == "error" else "success")


async def test_integers_of_any_size_arrive_exactly(http: httpx.AsyncClient) -> None:
    waited = await http.post("/runs/wait", json={"assistant_id": "odd", "input": {"kind": "huge"}})
    assert waited.json()["odd"] == {"integer": 2**80, "nan": None}


async def test_a_client_that_leaves_lets_the_run_go_on(
    http: httpx.AsyncClient, client: LangGraphClient, thread: str
) -> None:
    body = {"assistant_id": "counter", "input": {"until": 30, "delay": 0.02}}
    async with open_stream(http, "POST", f"/threads/{thread}/runs/stream", json=body) as reading:
        assert (await reading.next()) is not None
        run = reading.headers["content-location"].rpartition("/")[2]
    values: Any = await client.runs.join(thread, run)
    assert values["count"] == 30


async def test_the_sdk_learns_the_runs_id_from_the_headers(client: LangGraphClient, thread: str) -> None:
    learnt: list[Any] = []
    given = {"text": "x"}
    _ = [each async for each in client.runs.stream(thread, "echo", input=given, on_run_created=learnt.append)]
    _ = [each async for each in client.runs.stream(None, "echo", input=given, on_run_created=learnt.append)]
    [run] = await client.runs.list(thread)
    assert learnt[0] == {"run_id": run["run_id"], "thread_id": thread}
    assert learnt[1]["run_id"] != run["run_id"]


async def test_a_stream_of_an_unknown_assistant_or_thread_is_404_and_no_stream(
    http: httpx.AsyncClient, thread: str
) -> None:
    for path, assistant in ((f"/threads/{thread}", str(uuid4())), (f"/threads/{uuid4()}", "echo"), ("", str(uuid4()))):
        answer = await http.post(f"{path}/runs/stream", json={"assistant_id": assistant})
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Thread or assistant not found."


@pytest.mark.parametrize("what", ["surrogate", "nul", "large", "nan"])
@pytest.mark.parametrize("how", ["fail", "interrupt"])
async def test_a_run_that_ends_with_a_value_that_json_cannot_hold_ends_and_its_thread_is_read(
    http: httpx.AsyncClient, thread: str, how: str, what: str
) -> None:
    body = {"assistant_id": "odd_end", "input": {"text": f"{how} {what}"}}
    answer = await http.post(f"/threads/{thread}/runs/wait", json=body)
    assert answer.status_code == 200 and ("__error__" in answer.text) is (how == "fail")
    [run] = (await http.get(f"/threads/{thread}/runs")).json()
    assert run["status"] == ("error" if how == "fail" else "success")
    told = json.loads((await http.get(f"/threads/{thread}")).text)
    if (how, what) == ("interrupt", "large"):
        assert [each["value"] for [each] in told["interrupts"].values()] == [{"odd": 2**80}]
    assert (await http.get(f"/threads/{thread}/state")).status_code == 200
