"""Graphs whose code is traced, too: nodes in threads and tasks, spans of their own, a subgraph, a chat model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

import langsmith
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from opentelemetry import trace

_log = logging.getLogger("my_graph")


class State(TypedDict, total=False):
    text: str
    seen: list[str]


def _current() -> str:
    return trace.format_span_id(trace.get_current_span().get_span_context().span_id)


def _in_a_thread(state: State) -> State:
    _log.warning("in a thread")
    with trace.get_tracer("mine").start_as_current_span("my own work"):
        return {"seen": [*state.get("seen", []), _current()]}


async def _in_tasks(state: State) -> State:
    async def part(name: str) -> None:
        with trace.get_tracer("mine").start_as_current_span(name):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(part("part one"))
        group.create_task(part("part two"))
    _log.warning("in a task")
    return state


async def _ask(state: State) -> State:
    model = GenericFakeChatModel(messages=iter([AIMessage("fine")]))
    with trace.get_tracer("mine").start_as_current_span("prepared by hand"):
        answer = await model.ainvoke(state.get("text", "hello"))
    return {"text": str(answer.content)}


_inner = StateGraph(State).add_node("ask", _ask).add_edge(START, "ask").add_edge("ask", END).compile()

mixed = (
    StateGraph(State)
    .add_node("thread", _in_a_thread)
    .add_node("tasks", _in_tasks)
    .add_node("inner", _inner)
    .add_edge(START, "thread")
    .add_edge("thread", "tasks")
    .add_edge("tasks", "inner")
    .add_edge("inner", END)
    .compile()
)
"""Nodes of all kinds."""


class Secretive(TypedDict, total=False):
    secret: str


async def _leak(state: Secretive) -> Any:
    raise RuntimeError(f"the key sk-{state['secret']} was refused, and so was postgresql://u:hunter2hunter2@db/x")


leaking = StateGraph(Secretive).add_node("leak", _leak).add_edge(START, "leak").add_edge("leak", END).compile()
"""Fails with keys in the text of its error."""


@asynccontextmanager
async def joining(config: RunnableConfig) -> AsyncIterator[Any]:
    """A factory that joins the LangSmith trace of its caller, as LangGraph's guide shows."""
    given = config.get("configurable", {})
    with langsmith.tracing_context(
        parent=given.get("langsmith-trace"),
        project_name=given.get("langsmith-project"),
        metadata=given.get("langsmith-metadata"),
        tags=given.get("langsmith-tags"),
    ):
        yield mixed
