"""Small graphs that tests serve beside the agent. They need no model and no network."""

from __future__ import annotations

import asyncio
from operator import add
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class Text(TypedDict, total=False):
    text: Any


def _echo(state: Text) -> Text:
    return {"text": state.get("text")}


echo = StateGraph(Text).add_node("echo", _echo).add_edge(START, "echo").add_edge("echo", END).compile()
"""One node that gives back what it was given."""


class Count(TypedDict, total=False):
    until: int
    delay: float
    count: int
    seen: Annotated[list[int], add]


async def _step(state: Count) -> Count:
    get_stream_writer()({"at": state.get("count", 0) + 1})
    await asyncio.sleep(state.get("delay", 0))
    count = state.get("count", 0) + 1
    return {"count": count, "seen": [count]}


def _again(state: Count) -> str:
    return "step" if state["count"] < state["until"] else END


counter = (
    StateGraph(Count).add_node("step", _step).add_edge(START, "step").add_conditional_edges("step", _again).compile()
)
"""Counts to `until`, one step each, `delay` seconds a step; `seen` shows whether a step ran twice."""


async def _wonder(state: Count) -> str:
    await asyncio.sleep(state.get("delay", 0))
    return "count" if state["count"] < state["until"] else END


def _count(state: Count) -> Count:
    count = state.get("count", 0) + 1
    return {"count": count, "seen": [count]}


winding = (
    StateGraph(Count)
    .add_node("count", _count)
    .add_edge(START, "count")
    .add_conditional_edges("count", _wonder)
    .compile()
)
"""As `counter`, but it takes its time where it decides how to go on: behind what a step has written, before the step is over."""


class Decision(TypedDict, total=False):
    question: str
    answer: Any


def _ask(state: Decision) -> Decision:
    return {"answer": interrupt({"question": state.get("question", "approve?")})}


approval = StateGraph(Decision).add_node("ask", _ask).add_edge(START, "ask").add_edge("ask", END).compile()
"""Stops and asks; goes on with a command that resumes it."""


def _fail(_state: Text) -> Text:
    raise ValueError("this graph always fails")


failing = StateGraph(Text).add_node("fail", _fail).add_edge(START, "fail").add_edge("fail", END).compile()


class Seen(TypedDict, total=False):
    seen: dict[str, Any]


def _look(_state: Seen, config: RunnableConfig) -> Seen:
    configurable = {key: value for key, value in config["configurable"].items() if not key.startswith("__")}
    plain = {key: value for key, value in configurable.items() if isinstance(value, str | int | float | bool | list)}
    return {"seen": {"configurable": plain, "metadata": config.get("metadata", {}), "tags": config.get("tags")}}


context = StateGraph(Seen).add_node("look", _look).add_edge(START, "look").add_edge("look", END)
"""A builder, not compiled: shows the config that it is run with."""


class Road(TypedDict, total=False):
    passed: Annotated[list[str], add]
    note: str


def _passes(name: str) -> Any:
    return lambda _state: {"passed": [name]}


road = (
    StateGraph(Road)
    .add_node("first", _passes("first"))
    .add_node("second", _passes("second"))
    .add_node("siding", _passes("siding"))
    .add_edge(START, "first")
    .add_edge("first", "second")
    .add_edge("second", END)
    .compile()
)
"""Two nodes in a row, and one that is reached only by a command."""

family = StateGraph(Decision).add_node("child", approval).add_edge(START, "child").add_edge("child", END).compile()
"""`approval` as a subgraph: it stops in there."""


class Odd(TypedDict, total=False):
    kind: str
    odd: Any


def _odd(state: Odd) -> Odd:
    return {"odd": ODD[state["kind"]]()}


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def _well() -> list[Any]:
    well: list[Any] = []
    for _ in range(400):
        well = [well]
    return well


ODD: dict[str, Any] = {
    "huge": lambda: {"integer": 2**80, "nan": float("nan")},
    "nul": lambda: ["a\0b"],
    "surrogate": lambda: ["\ud800"],
    "keys": lambda: {(1, 2): "pair", 3: "three"},
    "deep": _well,
    "bytes": lambda: [b"\x00\xff", {1}],
}
odd = StateGraph(Odd).add_node("odd", _odd).add_edge(START, "odd").add_edge("odd", END).compile()
"""Leaves in its state what JSON has no form for: `kind` says what."""
