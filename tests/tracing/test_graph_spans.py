"""Spans of a graph's steps, in this process: which is current, and what is recorded of messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.tools import ToolException, tool
from langgraph.graph import END, START, StateGraph
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from served.traced_graphs import State, mixed

from robyn_server.core.runs import ClaimedRun, RunEnd, RunStatus, ThreadStatus
from robyn_server.core.trace_context import TraceContext
from robyn_server.tracing.queue_spans import AttemptSpans
from tools_agent.models.offline import offline_model


class Recording:
    """A tracer and what it recorded."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def attempts(self, *, captures_content: bool = False) -> AttemptSpans:
        return AttemptSpans(self.tracer, captures_content=captures_content)


@pytest.fixture
def recording() -> Iterator[Recording]:
    made = Recording()
    yield made
    made.provider.shutdown()


def claimed(graph: str = "mixed", context: TraceContext | None = None) -> ClaimedRun:
    return ClaimedRun(uuid4(), uuid4(), uuid4(), 1, graph, "ada", None, 1, {}, {}, True, False, None, 0, trace=context)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def _current() -> int:
    return trace.get_current_span().get_span_context().span_id


async def test_after_its_last_step_the_span_of_the_attempt_is_current_again(recording: Recording) -> None:
    with recording.attempts().attempt(claimed()) as attempt:
        before = _current()
        await mixed.ainvoke({"text": "x"}, {"callbacks": list(attempt.callbacks)})
        assert _current() == before
    assert recording.named("run mixed").context.span_id == before


async def test_a_step_of_many_in_a_row_is_under_its_agent(recording: Recording) -> None:
    """A loop of steps in one context must not make a chain of all the spans that have ended."""

    def again(state: State) -> str:
        return "step" if len(state["seen"]) < 1200 else END

    graph = StateGraph(State).add_node("step", lambda state: {"seen": [*state["seen"], "x"]}).add_edge(START, "step")
    loop = graph.add_conditional_edges("step", again).compile()
    with recording.attempts().attempt(claimed("loop")) as attempt:
        callbacks = list(attempt.callbacks)
        await loop.ainvoke({"seen": []}, {"callbacks": callbacks, "recursion_limit": 2000})
    agent = recording.named("invoke_agent loop").context.span_id
    steps = [span for span in recording.spans if span.name == "node step"]
    assert len(steps) == 1200
    assert {span.parent.span_id for span in steps if span.parent} == {agent}


async def test_a_graph_that_is_called_synchronously_has_the_same_spans(recording: Recording) -> None:
    with recording.attempts().attempt(claimed()) as attempt:
        config: Any = {"callbacks": list(attempt.callbacks)}
        agent = create_agent(offline_model("offline:demo"), [add])
        await asyncio.to_thread(agent.invoke, {"messages": [("user", 'call add {"a": 1, "b": 2}')]}, config)
    names = [span.name for span in recording.spans]
    assert names.count("chat offline:demo") == 2
    assert recording.named("execute_tool add").attributes["gen_ai.tool.call.id"].startswith("call_")


@pytest.mark.parametrize("captures", [False, True])
async def test_content_is_recorded_only_where_it_is_captured(recording: Recording, captures: bool) -> None:
    with recording.attempts(captures_content=captures).attempt(claimed()) as attempt:
        config: Any = {"callbacks": list(attempt.callbacks)}
        agent = create_agent(offline_model("offline:demo"), [add])
        await agent.ainvoke({"messages": [("user", 'call add {"a": 1234, "b": 4321}')]}, config)
    told = json.dumps([dict(span.attributes or {}) for span in recording.spans])
    assert ("1234" in told, "5555" in told) == (captures, captures)
    tool_span = recording.named("execute_tool add").attributes or {}
    if captures:
        assert json.loads(str(tool_span["gen_ai.tool.call.arguments"])) == {"a": 1234, "b": 4321}
        assert json.loads(str(tool_span["gen_ai.tool.call.result"])) == "5555"


@tool
def complain(about: str) -> str:
    """Fail about something."""
    raise ToolException(f"no {about} here")


@pytest.mark.parametrize("captures", [False, True])
async def test_the_error_of_a_tool_is_content_too(recording: Recording, captures: bool) -> None:
    with recording.attempts(captures_content=captures).attempt(claimed()) as attempt:
        config: Any = {"callbacks": list(attempt.callbacks)}
        agent = create_agent(offline_model("offline:demo"), [complain])
        with pytest.raises(ToolException):
            await agent.ainvoke({"messages": [("user", 'call complain {"about": "herrings"}')]}, config)
    span = recording.named("execute_tool complain")
    assert (span.attributes or {})["error.type"] == "ToolException"
    assert (not span.status.is_ok, "herrings" in str(span.status.description)) == (True, captures)


async def test_an_abandoned_stream_of_a_model_leaves_no_open_span(recording: Recording) -> None:
    with recording.attempts().attempt(claimed()) as attempt:
        config: Any = {"callbacks": list(attempt.callbacks)}
        async for _ in offline_model("offline:demo").astream("hello", config):
            break
    assert {span.name for span in recording.spans} == {"run mixed", "chat offline:demo"}


async def test_a_run_that_the_caller_did_not_sample_is_not_recorded() -> None:
    recording = Recording(sampler=ALWAYS_OFF)
    with recording.attempts().attempt(claimed()) as attempt:
        await mixed.ainvoke({"text": "x"}, {"callbacks": list(attempt.callbacks)})
        attempt.end(RunEnd(RunStatus.SUCCESS, ThreadStatus.IDLE, b"{}"))
    assert not recording.spans


async def test_a_run_continues_the_trace_that_enqueued_it(recording: Recording) -> None:
    context = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=x")
    with recording.attempts().attempt(claimed(context=context)) as attempt:
        attempt.end(RunEnd(RunStatus.TIMEOUT, ThreadStatus.ERROR, None, {"error": "RunTimeout", "message": "too long"}))
    span = recording.named("run mixed")
    assert span.parent is not None
    assert span.parent.span_id == 0x00F067AA0BA902B7
    assert (span.status.is_ok, (span.attributes or {})["error.type"]) == (False, "RunTimeout")
