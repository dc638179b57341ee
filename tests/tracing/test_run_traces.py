"""One trace, from the request of a client over the queue to the model, the tools and the MCP server of a run."""

from __future__ import annotations

import json
import signal
from typing import Any

import orjson
from remote.otlp_receiver import Received, lineage
from servers.live_server import until
from traced_server import COLLECTOR_KEY, ORGANIZATION, SECRET_KEY, Traced

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{CALLER}-00f067aa0ba902b7-01"
QUESTION = 'Please call look {"subject": "a red kite"}'


def ask(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def named(spans: list[Received], name: str) -> Received:
    (span,) = [span for span in spans if span.name == name]
    return span


async def test_a_streamed_run_is_one_trace_from_the_caller_to_the_mcp_server(traced: Traced) -> None:
    client = traced.server.sdk(traceparent=PARENT, tracestate="vendor=x", **{"x-organization-id": ORGANIZATION})
    config: Any = {"configurable": traced.agent}
    events = [
        event
        async for event in client.runs.stream(
            None, "agent", input=ask(QUESTION), config=config, stream_mode=["values", "messages-tuple"]
        )
    ]
    assert events[-1].event != "error", events[-1].data
    answer = [event.data["messages"] for event in events if event.event == "values"][-1]
    attempt = await traced.run_span(events[0].data["run_id"])
    spans = await traced.receiver.whole(attempt, caller="00f067aa0ba902b7")

    request, enqueue = named(spans, "POST /runs/stream"), named(spans, "enqueue agent")
    agent = named(spans, "invoke_agent agent")
    tool, served = named(spans, "execute_tool look"), named(spans, "tools/call look")
    assert (request.parent, attempt.name) == ("00f067aa0ba902b7", "run agent")
    above = ["POST /runs/stream", "enqueue agent", "run agent", "invoke_agent agent"]
    assert lineage(spans, tool) == [*above, "node tools", "execute_tool look"]
    assert lineage(spans, served) == [*above, "node tools", "execute_tool look", "tools/call look"]
    chats = [span for span in spans if span.name == "chat gpt-4o"]
    assert [lineage(spans, chat) for chat in chats] == [[*above, "node model", "chat gpt-4o"]] * 2
    assert {span.process for span in (request, enqueue)} == {"web"}
    assert {span.process for span in (attempt, agent, tool, *chats)} == {"worker"}
    assert served.resource["service.name"] == "tool-server"
    assert not [span.name for span in spans if span.failed]
    assert {span.state for span in spans} == {"vendor=x"}

    given = json.loads(next(message["content"] for message in answer if message["type"] == "tool"))
    expected = {"traceparent": f"00-{CALLER}-{tool.id}-01", "tracestate": "vendor=x"}
    assert given["meta"] == given["headers"] == expected

    _check_names(events[0].data["run_id"], request, attempt, agent)
    _check_model_call(chats[0])
    assert tool.attributes["gen_ai.tool.name"] == "look"
    assert tool.attributes["mcp.method.name"] == "tools/call"
    assert (tool.kind, tool.attributes["server.address"]) == ("CLIENT", "127.0.0.1")
    _check_nothing_private(traced)


def _check_names(run_id: str, request: Received, attempt: Received, agent: Received) -> None:
    assert request.kind == "SERVER"
    assert (
        request.attributes
        | {
            "http.request.method": "POST",
            "http.route": "/runs/stream",
            "http.response.status_code": 200,
            "url.path": "/runs/stream",
        }
        == request.attributes
    )
    assert request.end >= agent.end, "the span of a streamed request ends with its stream"
    assert attempt.attributes["agenthall.run.id"] == agent.attributes["agenthall.run.id"] == run_id
    assert attempt.attributes["agenthall.run.status"] == "success"
    assert attempt.attributes["agenthall.organization.id"] == ORGANIZATION
    assert agent.attributes["gen_ai.conversation.id"] == attempt.attributes["agenthall.thread.id"]
    assert agent.attributes["gen_ai.agent.id"] == attempt.attributes["agenthall.assistant.id"]
    assert attempt.resource["service.name"] == "agenthall"
    assert attempt.resource["deployment.environment.name"] == "tests"


def _check_model_call(chat: Received) -> None:
    assert (
        chat.attributes
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.temperature": 0.25,
            "gen_ai.request.stream": True,
            "gen_ai.response.finish_reasons": ["tool_calls"],
        }
        == chat.attributes
    )
    assert chat.kind == "CLIENT"
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] > 0


def _check_nothing_private(traced: Traced) -> None:
    """Neither secrets nor what was said."""
    sent = b"\n".join(traced.receiver.bodies)
    for private in (SECRET_KEY, COLLECTOR_KEY, "red kite", "Bearer"):
        assert private.encode() not in sent
    assert {headers.get("x-collector-key") for headers in traced.receiver.headers} == {COLLECTOR_KEY, None}


async def test_a_tool_that_fails_is_marked_without_what_it_said(traced: Traced) -> None:
    config: Any = {"configurable": traced.agent}
    question = 'Please call break_down {"why": "too many herrings"}'
    run = await traced.server.sdk().runs.create(None, "agent", input=ask(question), config=config)
    attempt = await traced.run_span(run["run_id"])
    spans = await traced.receiver.whole(attempt)
    tool = named(spans, "execute_tool break_down")
    assert (tool.failed, bool(tool.attributes["error.type"]), attempt.failed) == (True, True, False)
    assert "herrings" not in str(spans)


async def test_the_tokens_of_a_model_call_are_counted(traced: Traced) -> None:
    client = traced.server.sdk()
    run = await client.runs.create(None, "agent", input=ask("hello there"), on_completion="keep")
    attempt = await traced.run_span(run["run_id"])
    chat = named(await traced.receiver.whole(attempt), "chat offline:demo")
    assert chat.attributes["gen_ai.provider.name"] == "offline"
    assert chat.attributes["gen_ai.usage.input_tokens"] == 2
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0


async def test_nodes_in_threads_tasks_and_subgraphs_keep_their_place(traced: Traced) -> None:
    client = traced.server.sdk()
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "mixed", input={"text": "hello"})
    values: Any = await client.runs.join(thread, run["run_id"])
    attempt = await traced.run_span(run["run_id"])
    spans = await traced.receiver.whole(attempt)
    above = ["POST /threads/{thread_id}/runs", "enqueue mixed", "run mixed", "invoke_agent mixed"]
    work = named(spans, "my own work")
    assert lineage(spans, work) == [*above, "node thread", "my own work"]
    assert values["seen"] == [work.id], "the span of the graph's own code is current in its thread"
    assert lineage(spans, named(spans, "part one")) == [*above, "node tasks", "part one"]
    chat = next(span for span in spans if span.name.startswith("chat"))
    inner = [*above, "node inner", "invoke_agent inner", "node ask", "prepared by hand"]
    assert lineage(spans, chat) == [*inner, chat.name]


async def test_a_failed_run_has_its_exception_without_the_secrets_in_it(traced: Traced) -> None:
    client = traced.server.sdk()
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "leaking", input={"secret": "abcdefgh12345678"})
    await client.runs.join(thread, run["run_id"])
    attempt = await traced.run_span(run["run_id"])
    assert (attempt.failed, attempt.attributes["error.type"]) == (True, "RuntimeError")
    assert attempt.attributes["agenthall.run.status"] == "error"
    ((name, exception),) = attempt.events
    assert (name, exception["exception.type"]) == ("exception", "RuntimeError")
    assert exception["exception.message"] == (
        "the key [redacted] was refused, and so was postgresql://u:[redacted]@db/x"
    )
    assert "traced_graphs.py" in exception["exception.stacktrace"]
    spans = await traced.receiver.whole(attempt)
    assert [span.name for span in spans if span.failed] == ["run leaking", "invoke_agent leaking", "node leak"]
    assert [name for name, _ in named(spans, "node leak").events] == ["exception"]
    assert not named(spans, "invoke_agent leaking").events
    assert not [span for span in spans if "hunter2" in str(span) or "abcdefgh" in str(span)]


async def test_a_cancelled_run_is_marked_and_no_failure(traced: Traced) -> None:
    client = traced.server.sdk()
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "counter", input={"until": 1000, "delay": 600.0})
    await until(lambda: client.runs.get(thread, run["run_id"]))

    async def runs() -> bool:
        return (await client.runs.get(thread, run["run_id"]))["status"] == "running"

    await until(runs)
    await client.runs.cancel(thread, run["run_id"], wait=True)
    attempt = await traced.run_span(run["run_id"])
    assert attempt.attributes["agenthall.run.status"] == "interrupted"
    assert (attempt.attributes["agenthall.cancelled"], attempt.failed) == (True, False)
    spans = await traced.receiver.whole(attempt)
    assert not [span.name for span in spans if span.failed]


async def test_an_interrupt_is_no_failure(traced: Traced) -> None:
    client = traced.server.sdk()
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "approval", input={"question": "may I?"})
    await client.runs.join(thread, run["run_id"])
    attempt = await traced.run_span(run["run_id"])
    spans = await traced.receiver.whole(attempt)
    assert named(spans, "node ask").attributes["agenthall.interrupted"] is True
    assert not [span.name for span in spans if span.failed]


async def test_a_batch_is_enqueued_in_one_span(traced: Traced) -> None:
    client = traced.server.sdk()
    runs = await client.runs.create_batch([{"assistant_id": "echo", "input": {"text": str(n)}} for n in range(3)])
    attempts = [await traced.run_span(run["run_id"]) for run in runs]
    (enqueue,) = {span.parent for span in attempts}
    assert (await traced.receiver.wait_for(id=enqueue)).attributes["messaging.batch.message_count"] == 3


async def test_requests_have_their_route_and_status_and_probes_have_no_span(traced: Traced) -> None:
    async with traced.server.http() as http:
        for path in ("/ok", "/livez", "/metrics"):
            await http.get(path)
        missing = await http.get("/threads/00000000-0000-4000-8000-000000000000", headers={"x-request-id": "abc-1"})
        await http.get("/nowhere/at/all?token=sk-in-the-query")
    found = await traced.receiver.wait_for(agenthall__request__id="abc-1")
    assert (found.name, found.failed) == ("GET /threads/{thread_id}", False)
    assert found.attributes["http.response.status_code"] == missing.status_code == 404
    unknown = await traced.receiver.wait_for(url__path="/nowhere/at/all")
    assert (unknown.name, "http.route" in unknown.attributes) == ("GET", False)
    assert not [span for span in traced.receiver.spans if span.attributes.get("url.path") in {"/ok", "/metrics"}]
    assert b"sk-in-the-query" not in b"".join(traced.receiver.bodies)


async def test_log_lines_of_a_run_name_it_and_its_span(traced: Traced) -> None:
    client = traced.server.sdk()
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "mixed", input={"text": "hello"})
    await client.runs.join(thread, run["run_id"])
    attempt = await traced.run_span(run["run_id"])
    log = traced.server.workers[0].read_log
    await until(lambda: log().count(run["run_id"]) >= 3)
    lines = [orjson.loads(line) for line in log().splitlines() if run["run_id"] in line]
    by_event = {line["event"]: line for line in lines}
    for event in ("in a thread", "in a task", "run"):
        line = by_event[event]
        assert (line["thread_id"], line["attempt"], line["trace_id"]) == (thread, 1, attempt.trace)
    spans = await traced.receiver.whole(attempt)
    assert by_event["run"]["span_id"] == attempt.id
    assert by_event["in a thread"]["span_id"] == named(spans, "node thread").id


async def test_the_access_log_names_the_trace(traced: Traced) -> None:
    async with traced.server.http() as http:
        await http.get("/info", headers={"x-request-id": "abc-2", "traceparent": PARENT})
    log = traced.server.webs[0].read_log
    await until(lambda: "abc-2" in log())
    (line,) = [orjson.loads(line) for line in log().splitlines() if '"abc-2"' in line]
    assert (line["event"], line["trace_id"]) == ("request", CALLER)
    assert len(line["span_id"]) == 16


async def test_each_attempt_of_a_run_has_a_span_under_the_same_parent(traced: Traced) -> None:
    """The first worker stops, sends its spans and releases the run; another goes on."""
    server, client = traced.server, traced.server.sdk()
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "counter", input={"until": 1000, "delay": 600.0})

    async def runs() -> bool:
        return (await client.runs.get(thread, run["run_id"]))["status"] == "running"

    await until(runs)
    server.workers[0].kill(signal.SIGTERM)
    assert await server.workers.pop(0).ended() == 0
    server.add_worker()
    first = await traced.run_span(run["run_id"])
    assert first.attributes["agenthall.run.status"] == "released"
    await until(runs)
    await client.runs.cancel(thread, run["run_id"], wait=True)
    second = await traced.run_span(run["run_id"], attempt=2)
    assert (second.trace, second.parent) == (first.trace, first.parent)
