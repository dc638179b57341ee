"""Run trees at LangSmith, with the variables that its client knows.

Spans that are left are sent when the processes stop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
from databases import fresh_database
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk.client import LangGraphClient
from langsmith import Client, tracing_context
from langsmith.run_trees import RunTree
from remote.langsmith_server import LangSmithServer
from remote.otlp_receiver import OtlpReceiver
from servers.live_server import LiveServer, live_server, until
from traced_server import SERVED

KEY = "lsv2_pt_of_the_tests"


@dataclass
class Observed:
    server: LiveServer
    langsmith: LangSmithServer
    client: LangGraphClient

    async def tree(self, run_id: str) -> dict[str, Any]:
        """The root of a run's tree, once it has ended."""
        found: dict[str, Any] = await until(lambda: self.langsmith.ended(run_id))
        return found


@pytest.fixture(scope="module")
async def observed(postgres: str, template: str, receiver: OtlpReceiver) -> AsyncIterator[Observed]:
    langsmith = LangSmithServer()
    settings = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": KEY,
        "LANGSMITH_ENDPOINT": langsmith.url,
        "LANGSMITH_PROJECT": "agents-of-the-tests",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.url}/v1/traces",
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
        "AGENTHALL_GRAPHS": orjson.dumps(SERVED).decode(),
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield Observed(server, langsmith, server.sdk())
    langsmith.close()


def metadata(run: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = run["extra"]
    found: dict[str, Any] = extra["metadata"]
    return found


async def test_a_run_is_a_tree_with_the_id_of_the_run(observed: Observed) -> None:
    thread = (await observed.client.threads.create())["thread_id"]
    run = await observed.client.runs.create(thread, "agent", input={"messages": [{"role": "user", "content": "hi"}]})
    root = await observed.tree(run["run_id"])
    assert root["session_name"] == "agents-of-the-tests"
    assert metadata(root) | {
        "thread_id": thread,
        "run_id": run["run_id"],
        "assistant_id": run["assistant_id"],
        "graph_id": "agent",
    } == metadata(root)
    (node,) = observed.langsmith.children(root["id"])
    assert node["name"] == "model"
    assert await until(lambda: [each for each in observed.langsmith.of_type("llm") if each["trace_id"] == root["id"]])
    assert observed.langsmith.keys == {KEY}


async def test_a_run_with_events_has_a_tree_too(observed: Observed) -> None:
    stream = observed.client.runs.stream(None, "echo", input={"text": "x"}, stream_mode=["events"])
    run_id = next(iter([event.data["run_id"] async for event in stream if event.event == "metadata"]))
    assert (await observed.tree(run_id))["outputs"] == {"text": "x"}


async def test_a_run_names_its_own_project_and_example(observed: Observed) -> None:
    example = "11111111-2222-4333-8444-555555555555"
    tracing: Any = {"project_name": "an-experiment", "example_id": example}
    run = await observed.client.runs.create(None, "echo", input={"text": "x"}, langsmith_tracing=tracing)
    assert run["kwargs"]["langsmith_tracer"] == tracing
    root = await observed.tree(run["run_id"])
    assert (root["session_name"], root["reference_example_id"]) == ("an-experiment", example)


@pytest.mark.parametrize(
    ("tracer", "field"),
    [
        ({"project": "p"}, "langsmith_tracer.project"),
        ({"project_name": ""}, "langsmith_tracer.project_name"),
        ({"example_id": "no uuid"}, "langsmith_tracer.example_id"),
    ],
)
async def test_a_malformed_tracer_is_refused_by_name(observed: Observed, tracer: Any, field: str) -> None:
    async with observed.server.http() as http:
        refused = await http.post("/runs", json={"assistant_id": "echo", "langsmith_tracer": tracer})
    assert refused.status_code == 422
    assert field in refused.json()["detail"]


async def test_a_stream_ends_with_the_urls_for_feedback(observed: Observed) -> None:
    parts = [
        part
        async for part in observed.client.runs.stream(
            None, "echo", input={"text": "x"}, feedback_keys=["score", "comment", "score"], stream_mode="updates"
        )
    ]
    run_id = parts[0].data["run_id"]
    prefix = f"{observed.langsmith.url}/feedback/tokens/{run_id}/"
    assert (parts[-1].event, parts[-1].data) == (
        "feedback",
        {"score": f"{prefix}score", "comment": f"{prefix}comment"},
    )
    assert "feedback" not in {part.event for part in parts[:-1]}


async def test_a_join_has_the_urls_for_feedback_whatever_its_modes(observed: Observed) -> None:
    thread = (await observed.client.threads.create())["thread_id"]
    async with observed.server.http() as http:
        body = {"assistant_id": "echo", "input": {"text": "x"}, "feedback_keys": ["score"], "stream_resumable": True}
        run = (await http.post(f"/threads/{thread}/runs", json=body)).json()
    assert run["kwargs"]["feedback_keys"] == ["score"]
    await observed.client.runs.join(thread, run["run_id"])
    for mode in ("updates", "messages-tuple"):
        joined = observed.client.runs.join_stream(thread, run["run_id"], stream_mode=mode, last_event_id="-1")
        assert [part.event async for part in joined][-1] == "feedback"


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_a_run_does_not_fail_where_there_are_no_urls_for_feedback(observed: Observed, status: int) -> None:
    observed.langsmith.feedback_status = status
    try:
        async with observed.server.http() as http:
            body = {"assistant_id": "echo", "input": {"text": "x"}, "feedback_keys": ["score"]}
            answer = await http.post("/runs/stream", json=body)
    finally:
        observed.langsmith.feedback_status = 200
    assert "event: feedback" not in answer.text and "event: error" not in answer.text
    assert 'data: {"text":"x"}' in answer.text
    await until(lambda: "LangSmith gave no URLs for feedback" in observed.server.workers[0].read_log())


async def test_a_langsmith_that_hangs_does_not_hold_a_run(observed: Observed) -> None:
    observed.langsmith.released.clear()
    try:
        async with observed.server.http() as http:
            body = {"assistant_id": "echo", "input": {"text": "x"}, "feedback_keys": ["score"]}
            assert (await http.post("/runs/wait", json=body)).json() == {"text": "x"}
    finally:
        observed.langsmith.released.set()
    await until(lambda: "LangSmith gave no URLs for feedback in time" in observed.server.workers[0].read_log())


async def test_a_failed_run_has_no_urls_for_feedback(observed: Observed) -> None:
    async with observed.server.http() as http:
        body = {"assistant_id": "failing", "input": {"text": 1}, "feedback_keys": ["score"]}
        answer = await http.post("/runs/stream", json=body)
    assert "event: error" in answer.text and "event: feedback" not in answer.text


async def test_the_server_says_that_it_uses_langsmith(observed: Observed) -> None:
    async with observed.server.http() as http:
        assert (await http.get("/info")).json()["flags"]["langsmith"] is True


async def test_a_graph_joins_the_trace_of_a_remote_graph(observed: Observed) -> None:
    """`distributed_tracing` sends `langsmith-trace` and `baggage`; the graph finds them in its configuration."""
    caller = RunTree(name="the caller", ls_client=Client(api_url=observed.langsmith.url, api_key="other"))
    remote = RemoteGraph("joining", client=observed.client, distributed_tracing=True)
    with tracing_context(parent=caller, enabled=True, project_name="of-the-caller"):
        await remote.ainvoke({"text": "hello"})
    joined = await until(lambda: [run for run in observed.langsmith.children(str(caller.id)) if "end_time" in run])
    assert [run["trace_id"] for run in joined if metadata(run).get("graph_id") == "joining"] == [str(caller.id)]


async def test_malformed_headers_of_a_caller_are_ignored(observed: Observed) -> None:
    headers = {"langsmith-trace": "../../x", "baggage": "langsmith-project=p"}
    async with observed.server.http(**headers) as http:
        run = (await http.post("/runs", json={"assistant_id": "echo", "input": {"text": "x"}})).json()
    assert "langsmith-project" not in run["kwargs"]["config"]["configurable"]
    assert (await observed.tree(run["run_id"]))["session_name"] == "agents-of-the-tests"


async def test_what_is_left_is_sent_when_the_processes_stop(observed: Observed, receiver: OtlpReceiver) -> None:
    run = await observed.client.runs.create(None, "echo", input={"text": "the last one"})
    async with httpx.AsyncClient(base_url=observed.server.url) as http:
        await http.get(f"/runs/{run['run_id']}/stream")
    assert not receiver.find(agenthall__run__id=run["run_id"])
    observed.server.stop()
    assert {span.process for span in receiver.find(agenthall__run__id=run["run_id"])} == {"web", "worker"}
    assert observed.langsmith.ended(run["run_id"]) is not None
    assert [process.popen.returncode for process in observed.server.processes] == [0, 0]
