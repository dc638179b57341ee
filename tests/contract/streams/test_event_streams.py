"""Stream mode `events`: what LangChain reports from inside a run, alone and beside other modes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import Event, event_names, join_stream, open_stream, post_stream
from servers.live_server import until

from contract.runs.test_run_cancel import ENDLESS, has

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


async def stream(http: httpx.AsyncClient, thread: str, **body: Any) -> list[Event]:
    _, events = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    return events


def payloads(events: list[Event]) -> list[dict[str, Any]]:
    return [event.data for event in events if event.name == "events"]


async def test_the_events_of_a_run_begin_and_end_with_its_graph(http: httpx.AsyncClient, thread: str) -> None:
    events = await stream(http, thread, assistant_id="agent", input=HELLO, stream_mode="events")
    assert set(event_names(events)) == {"metadata", "events"}
    found = payloads(events)
    run_id = events[0].data["run_id"]
    for edge, kind in ((found[0], "on_chain_start"), (found[-1], "on_chain_end")):
        assert (edge["event"], edge["name"], edge["run_id"], edge["parent_ids"]) == (kind, "agent", run_id, [])
        assert edge["metadata"]["graph_id"] == "agent"
    assert found[0]["data"] == {"input": HELLO}
    assert [message["type"] for message in found[-1]["data"]["output"]["messages"]] == ["human", "ai"]
    assert all(each["parent_ids"][0] == run_id for each in found[1:-1])
    chunks = [each["data"]["chunk"] for each in found if each["event"] == "on_chat_model_stream"]
    answer = found[-1]["data"]["output"]["messages"][-1]["content"]
    assert "".join(chunk["content"] for chunk in chunks) == answer
    assert {chunk["type"] for chunk in chunks} == {"AIMessageChunk"}


async def test_other_modes_stream_beside_it_what_they_stream_without_it(
    client: LangGraphClient, http: httpx.AsyncClient
) -> None:
    modes = ["values", "updates", "custom", "tasks", "checkpoints", "debug"]
    told = []
    for chosen in (modes, [*modes, "events"]):
        thread = (await client.threads.create())["thread_id"]
        told.append(await stream(http, thread, assistant_id="counter", input={"until": 2}, stream_mode=chosen))
    assert event_names([event for event in told[1] if event.name != "events"]) == event_names(told[0])
    for mode in ("values", "updates", "custom"):
        assert [e.data for e in told[1] if e.name == mode] == [e.data for e in told[0] if e.name == mode]
    assert {each["name"] for each in payloads(told[1])} >= {"counter", "step"}
    assert not any(each["event"] == "on_chain_stream" and not each["parent_ids"] for each in payloads(told[1]))


async def test_messages_stream_beside_it(http: httpx.AsyncClient, thread: str) -> None:
    events = await stream(
        http, thread, assistant_id="agent", input=HELLO, stream_mode=["events", "messages", "messages-tuple"]
    )
    assert {"events", "messages/metadata", "messages/partial", "messages"} <= set(event_names(events))


async def test_subgraphs_stream_under_their_names_and_their_events_among_the_others(
    http: httpx.AsyncClient, thread: str
) -> None:
    events = await stream(
        http,
        thread,
        assistant_id="family",
        input={"question": "sure?"},
        stream_mode=["updates", "events"],
        stream_subgraphs=True,
    )
    assert any(name.startswith("updates|child:") for name in event_names(events)) or "updates" in event_names(events)
    assert {each["name"] for each in payloads(events)} >= {"family", "child", "ask"}
    assert not any(name.startswith("events|") for name in event_names(events))
    resumed = await stream(
        http,
        thread,
        assistant_id="family",
        command={"resume": "yes"},
        stream_mode=["updates", "events"],
        stream_subgraphs=True,
    )
    assert any(name.startswith("updates|child:") for name in event_names(resumed))
    assert payloads(resumed)[-1]["data"]["output"]["answer"] == "yes"


@pytest.mark.parametrize("kind", ["huge", "nul", "surrogate", "keys", "deep", "bytes"])
async def test_values_that_json_does_not_know_are_written_nevertheless(http: httpx.AsyncClient, kind: str) -> None:
    body = {"assistant_id": "odd", "input": {"kind": kind}, "stream_mode": "events"}
    _, events = await post_stream(http, "/runs/stream", body)
    found = payloads(events)
    assert found[-1]["data"]["output"]["odd"] is not None


async def test_a_failing_run_ends_with_its_error(http: httpx.AsyncClient, thread: str) -> None:
    events = await stream(http, thread, assistant_id="failing", input={"text": 1}, stream_mode="events")
    assert events[-1].name == "error" and events[-1].data["error"] == "ValueError"
    assert payloads(events)[0]["event"] == "on_chain_start"


async def test_a_run_with_events_stops_when_it_is_cancelled(http: httpx.AsyncClient, thread: str) -> None:
    async with open_stream(
        http, "POST", f"/threads/{thread}/runs/stream", json=ENDLESS | {"stream_mode": "events"}
    ) as reading:
        path = reading.headers["content-location"]
        for _ in range(20):
            assert await reading.next() is not None
        assert (await http.post(f"{path}/cancel")).status_code == 202
        await reading.read_rest()
    await until(lambda: has(http, path, "interrupted"))
    assert (await http.get(f"/threads/{thread}/state")).json()["next"] == ["step"]


async def test_it_can_be_chosen_when_joining(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "echo", "input": {"text": 1}, "stream_resumable": True, "stream_mode": ["values", "events"]}
    answer, _ = await post_stream(http, f"/threads/{thread}/runs/stream", body)
    joined = await join_stream(http, answer.headers["location"], "-1", stream_mode="events")
    assert set(event_names(joined)) == {"metadata", "events"}


async def test_the_sdk_reads_them(client: LangGraphClient) -> None:
    parts = [part async for part in client.runs.stream(None, "echo", input={"text": 1}, stream_mode="events")]
    assert [part.data["event"] for part in parts if part.event == "events"][-1] == "on_chain_end"
