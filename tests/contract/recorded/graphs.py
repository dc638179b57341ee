"""The graphs of the recorded exchanges. They need no model and no network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from operator import add
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.runtime import Runtime
from langgraph.types import interrupt


class Chat(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    count: int


class Context(TypedDict, total=False):
    user: str


def _model(text: str, message_id: str) -> GenericFakeChatModel:
    """A model that streams `text` word by word, as a message with this id."""
    answers: Iterator[AIMessage] = iter([AIMessage(text, id=message_id)])
    return GenericFakeChatModel(messages=answers)


async def _call_model(state: Chat) -> dict[str, Any]:
    get_stream_writer()({"progress": "calling"})
    messages = list(state["messages"] or None)  # type: ignore[arg-type]  # a TypeError without messages
    answer = await _model("hello from the fake model", f"ai-{len(messages)}").ainvoke(messages)
    return {"messages": [answer], "count": state.get("count", 0) + 1}


agent = (
    StateGraph(Chat, context_schema=Context)
    .add_node("call_model", _call_model)
    .add_edge(START, "call_model")
    .add_edge("call_model", END)
    .compile()
)


def _count(state: Chat) -> Chat:
    return {"count": state.get("count", 0) + 1}


fast = spare = StateGraph(Chat).add_node("fast", _count).add_edge(START, "fast").add_edge("fast", END).compile()


def _ask(_state: Chat) -> dict[str, Any]:
    answer = interrupt({"question": "approve?"})
    return {"messages": [AIMessage(f"answer={answer}", id="ai-hitl")]}


def _after(_state: Chat) -> Chat:
    return {"count": 99}


hitl = (
    StateGraph(Chat)
    .add_node("ask", _ask)
    .add_node("after", _after)
    .add_edge(START, "ask")
    .add_edge("ask", "after")
    .add_edge("after", END)
    .compile()
)
parent_hitl = StateGraph(Chat).add_node("child", hitl).add_edge(START, "child").add_edge("child", END).compile()


def _boom(_state: Chat) -> Chat:
    raise ValueError("boom happened")


err = StateGraph(Chat).add_node("boom", _boom).add_edge(START, "boom").add_edge("boom", END).compile()


async def _inner(_state: Chat) -> dict[str, Any]:
    return {"messages": [await _model("inner words here", "ai-inner").ainvoke([])]}


_child = StateGraph(Chat).add_node("inner", _inner).add_edge(START, "inner").add_edge("inner", END).compile()
parent = (
    StateGraph(Chat)
    .add_node("child", _child)
    .add_node("outer", _call_model)
    .add_edge(START, "child")
    .add_edge("child", "outer")
    .add_edge("outer", END)
    .compile()
)


class Steps(TypedDict, total=False):
    i: int
    n: int
    delay: float


async def _step(state: Steps) -> Steps:
    """The first step is done at once; each later one takes `delay` seconds."""
    done = state.get("i", 0)
    await asyncio.sleep(state.get("delay", 0) if done else 0)
    return {"i": done + 1}


def _again(state: Steps) -> str:
    return "step" if state["i"] < state["n"] else END


slow = StateGraph(Steps).add_node("step", _step).add_edge(START, "step").add_conditional_edges("step", _again).compile()


class Out(TypedDict, total=False):
    out: Annotated[list[str], add]


async def _first(_state: Out) -> Out:
    return {"out": [f"p1={interrupt({'q': 'one'})}"]}


async def _second(_state: Out) -> Out:
    return {"out": [f"p2={interrupt({'q': 'two'})}"]}


par = (
    StateGraph(Out)
    .add_node("p1", _first)
    .add_node("p2", _second)
    .add_edge(START, "p1")
    .add_edge(START, "p2")
    .add_edge("p1", END)
    .add_edge("p2", END)
    .compile()
)


def plus(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


plus.__name__ = "add"
_CALL = {"name": "add", "args": {"a": 2, "b": 3}, "id": "call-1", "type": "tool_call"}


async def _plan(state: Chat) -> dict[str, Any]:
    if state["messages"][-1].type != "tool":
        return {"messages": [AIMessage("", id="ai-tool", tool_calls=[_CALL])]}
    return {"messages": [await _model("the sum is five", "ai-sum").ainvoke(state["messages"])]}


tools = (
    StateGraph(Chat)
    .add_node("plan", _plan)
    .add_node("tools", ToolNode([plus]))
    .add_edge(START, "plan")
    .add_conditional_edges("plan", tools_condition)
    .add_edge("tools", "plan")
    .compile()
)


class Seen(TypedDict, total=False):
    seen: dict[str, Any]


def _texts(value: dict[str, Any]) -> dict[str, str]:
    return {name: str(each) for name, each in value.items() if not name.startswith("__")}


def _see(_state: Seen, config: RunnableConfig, runtime: Runtime[Context]) -> Seen:
    return {
        "seen": {
            "context": dict(runtime.context or {}),
            "configurable": _texts(config.get("configurable", {})),
            "metadata": _texts(config.get("metadata", {})),
            "tags": config.get("tags"),
            "recursion_limit": config.get("recursion_limit"),
            "has_store": runtime.store is not None,
        }
    }


ctx = (
    StateGraph(Seen, context_schema=Context)
    .add_node("echo_ctx", _see)
    .add_edge(START, "echo_ctx")
    .add_edge("echo_ctx", END)
    .compile()
)


def embed(texts: list[str]) -> list[list[float]]:
    """Embed texts by the animals in them."""
    return [[float("cats" in text), float("dogs" in text), 0.1] for text in texts]


NAMES = ("agent", "fast", "hitl", "slow", "err", "parent", "tools", "spare", "par", "parent_hitl", "ctx")
