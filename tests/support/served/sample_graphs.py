"""Small graphs that tests serve. They need no model and no network."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from operator import add
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import interrupt
from pydantic import BaseModel


class Text(TypedDict, total=False):
    text: Any


def _echo(state: Text) -> Text:
    return {"text": state.get("text")}


echo = StateGraph(Text).add_node("echo", _echo).add_edge(START, "echo").add_edge("echo", END).compile()
"""One node that returns its input."""


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
"""Counts to `until` in steps of `delay` seconds. `seen` shows whether a step ran twice."""


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
"""Like `counter`, but waits in the conditional edge: after the writes of a step and before its end."""


class Block(TypedDict, total=False):
    seconds: float
    done: bool


async def _hold_the_loop(state: Block) -> Block:
    end = time.monotonic() + state["seconds"]
    while time.monotonic() < end:
        pass
    return {"done": True}


blocking = StateGraph(Block).add_node("hold", _hold_the_loop).add_edge(START, "hold").add_edge("hold", END).compile()
"""Computes for `seconds` without awaiting."""


class Decision(TypedDict, total=False):
    question: str
    answer: Any


def _ask(state: Decision) -> Decision:
    return {"answer": interrupt({"question": state.get("question", "approve?")})}


approval = StateGraph(Decision).add_node("ask", _ask).add_edge(START, "ask").add_edge("ask", END).compile()
"""Interrupts with a question, and continues with a command that resumes it."""


class Deliberation(Decision, total=False):
    delay: float


async def _dwell(state: Deliberation) -> Deliberation:
    await asyncio.sleep(state.get("delay", 0))
    return {"question": "answered"}


deliberate = (
    StateGraph(Deliberation)
    .add_node("ask", _ask)
    .add_node("dwell", _dwell)
    .add_edge(START, "ask")
    .add_edge("ask", "dwell")
    .add_edge("dwell", END)
    .compile()
)
"""Like `approval`, and then waits for `delay` seconds."""


def _fail(_state: Text) -> Text:
    raise ValueError("this graph always fails")


failing = StateGraph(Text).add_node("fail", _fail).add_edge(START, "fail").add_edge("fail", END).compile()


ODD_WORDS = {"surrogate": "half \ud800", "nul": "a\0b", "large": 2**80, "longer": 10**5000, "nan": float("nan")}


def _odd_end(state: Text) -> Text:
    """Fail or interrupt with a value that JSON cannot represent."""
    how, _, what = str(state.get("text")).partition(" ")
    if how == "fail":
        raise ValueError(f"{ODD_WORDS[what]!s:.20}")
    return {"text": str(interrupt({"odd": ODD_WORDS[what]}))[:20]}


odd_end = StateGraph(Text).add_node("end", _odd_end).add_edge(START, "end").add_edge("end", END).compile()


class Seen(TypedDict, total=False):
    seen: dict[str, Any]


def _look(_state: Seen, config: RunnableConfig) -> Seen:
    configurable = {key: value for key, value in config["configurable"].items() if not key.startswith("__")}
    plain = {key: value for key, value in configurable.items() if isinstance(value, str | int | float | bool | list)}
    return {"seen": {"configurable": plain, "metadata": config.get("metadata", {}), "tags": config.get("tags")}}


context = StateGraph(Seen).add_node("look", _look).add_edge(START, "look").add_edge("look", END)
"""A builder that is not compiled. It returns the config of its run."""


@dataclass
class Person:
    """The context of `person`. Its names are also names of the server's."""

    user_id: str = "nobody"
    thread_id: str = ""


def _look_at_person(_state: Seen, runtime: Runtime[Person]) -> Seen:
    return {"seen": asdict(runtime.context)}


person = StateGraph(Seen, context_schema=Person).add_node("look", _look_at_person).add_edge(START, "look").compile()
"""Returns its context."""


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
"""Two nodes in a row, and one that only a command reaches."""

family = StateGraph(Decision).add_node("child", approval).add_edge(START, "child").add_edge("child", END).compile()
"""`approval` as a subgraph, which interrupts."""


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
"""Leaves values in its state that JSON cannot represent. `kind` selects the value."""


class Memory(TypedDict, total=False):
    note: str
    found: list[str]
    count: int


async def _remember(state: Memory, *, store: BaseStore) -> Memory:
    await store.aput(("notes",), state["note"], {"text": state["note"]})
    return {"found": sorted(item.key for item in await store.asearch(("notes",)))}


def _recount(state: Memory, runtime: Runtime[None]) -> Memory:
    """No coroutine, so it runs in a thread."""
    assert runtime.store is not None
    kept = runtime.store.get(("counts",), "runs")
    count = 1 + (0 if kept is None else kept.value["count"])
    runtime.store.put(("counts",), "runs", {"count": count})
    return {"count": count}


memory = (
    StateGraph(Memory)
    .add_node("remember", _remember)
    .add_node("recount", _recount)
    .add_edge(START, "remember")
    .add_edge("remember", "recount")
    .add_edge("recount", END)
    .compile()
)
"""Keeps notes in the store, and counts its runs there."""


class Reader(BaseModel):
    """The context of `nested`."""

    name: str = "somebody"


nested = (
    StateGraph(Decision, context_schema=Reader)
    .add_node("family", family)
    .add_node("after", _ask)
    .add_edge(START, "family")
    .add_edge("family", "after")
    .compile()
)
"""`family` as a subgraph, which has one of its own."""


def chosen(config: RunnableConfig) -> Any:
    """A factory of a graph with the nodes that the config names."""
    names = config["configurable"]["nodes"]
    builder = StateGraph(Road)
    for name in names:
        builder.add_node(name, _passes(name))
    return builder.add_edge(START, names[0])


async def broken(_config: RunnableConfig) -> Any:
    """A factory that fails."""
    raise LookupError("the blueprint is lost")


class Caller(TypedDict, total=False):
    user: dict[str, Any]
    user_id: Any
    permissions: Any
    runtime_user: Any
    item: Any


async def _who(_state: Caller, config: RunnableConfig, *, store: BaseStore) -> Caller:
    configurable = config["configurable"]
    user = configurable.get("langgraph_auth_user")
    identity = getattr(user, "identity", None)
    item = await store.aget((identity, "notes"), "first") if identity else None
    return {
        "user": None if user is None else {**user, "is_attribute": user.team == user["team"]},
        "user_id": configurable.get("langgraph_auth_user_id"),
        "permissions": configurable.get("langgraph_auth_permissions"),
        "item": None if item is None else item.value,
    }


def whoami(config: RunnableConfig, runtime: Any) -> Any:
    """Tells which user a project's handler authenticated, to the graph and to its factory."""
    seen = getattr(runtime.user, "identity", None)
    graph = StateGraph(Caller).add_node("who", _who).add_node("factory", lambda _: {"runtime_user": seen})
    return graph.add_edge(START, "who").add_edge("who", "factory").add_edge("factory", END).compile()
