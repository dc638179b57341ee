"""Stream mode `events`: which objects an event has, and how far a graph runs ahead of its reader."""

from __future__ import annotations

import asyncio
from operator import add
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore

from robyn_server.core.ids import new_id
from robyn_server.graphs.streams import graph_events as module
from robyn_server.graphs.streams.graph_events import graph_events, without_server_objects

STEPS = 200


class Steps(TypedDict, total=False):
    done: Annotated[list[int], add]


async def test_a_graph_waits_for_a_reader_that_is_far_behind() -> None:
    done: list[int] = []

    async def step(_state: Steps) -> Steps:
        done.append(len(done))
        return {"done": [1]}

    def again(state: Steps) -> str:
        return "step" if len(state["done"]) < STEPS else END

    builder = StateGraph(Steps).add_node("step", step).add_edge(START, "step").add_conditional_edges("step", again)
    events = graph_events(
        builder.compile(), {"done": []}, {"recursion_limit": 10_000}, new_id(), {"stream_mode": ["updates"]}
    )
    seen = 0
    async for _, event in events:
        seen += event is not None and event["event"] == "on_chain_end" and event["name"] == "step"
        assert len(done) - seen <= module._LEAD + 1
        for _ in range(30):
            await asyncio.sleep(0)  # let the graph run, which is faster than this
    assert (seen, len(done)) == (STEPS, STEPS)


def test_runtimes_stores_and_configs_are_left_out() -> None:
    config = {"configurable": {"token": "secret"}, "callbacks": None}
    runtime: Any = ToolRuntime(
        state={},
        context=None,
        config=config,  # type: ignore[typeddict-item, arg-type]
        stream_writer=print,
        tool_call_id=None,
        store=None,
    )
    given = {
        "input": {"city": "here", "runtime": runtime, "config": config, "store": InMemoryStore()},
        "chunk": [Runtime(), "text"],
    }
    assert without_server_objects(given) == {"input": {"city": "here"}, "chunk": ["text"]}
