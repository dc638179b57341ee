"""Drawings and schemas of graphs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from deadlines import DEADLINE
from langgraph.graph import END, START, MessagesState, StateGraph
from servers.live_server import SAMPLES

from robyn_server.core.errors import Unservable
from robyn_server.graphs.introspection import GraphIntrospection
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.graphs.topologies import Topologies


class Inner(TypedDict):
    depth: int


class Opaque:
    pass


class Typed(TypedDict, total=False):
    text: str
    numbers: Annotated[list[int], add]
    inner: Inner
    opaque: Opaque


class Given(TypedDict):
    text: str


typed = (
    StateGraph(Typed, input_schema=Given, context_schema=Inner)
    .add_node("only", lambda state: state)
    .add_edge(START, "only")
    .compile()
)
messages = StateGraph(MessagesState).add_node("only", lambda state: state).add_edge(START, "only").compile()
forked = (
    StateGraph(MessagesState)
    .add_node("only", lambda state: state)
    .add_edge(START, "only")
    .add_conditional_edges("only", lambda _state: "enough", {"enough": END, "again": "only"})
    .compile()
)
calls: list[Any] = []


def counted(config: Any) -> Any:
    calls.append(config["configurable"].get("tag"))
    return messages


NAMES = {name: f"{SAMPLES}:{name}" for name in ("echo", "family", "nested", "chosen", "broken")}
HERE = {name: f"{__name__}:{name}" for name in ("typed", "messages", "forked", "counted")}


@pytest.fixture
async def introspection() -> AsyncIterator[GraphIntrospection]:
    topologies = Topologies(Graphs(NAMES | HERE, "offline:demo"), seconds=DEADLINE)
    yield GraphIntrospection(topologies)
    await topologies.stop()


async def ids(introspection: GraphIntrospection, graph_id: str, xray: bool | int) -> set[str]:
    drawing = json.loads(await introspection.drawing(graph_id, {}, xray))
    return {node["id"] for node in drawing["nodes"]} - {"__start__", "__end__"}


async def test_a_drawing_has_the_form_of_the_reference_server(introspection: GraphIntrospection) -> None:
    assert json.loads(await introspection.drawing("echo", {}, False)) == {
        "nodes": [
            {"id": "__start__", "type": "runnable", "data": {"name": "__start__"}},
            {"id": "echo", "type": "runnable", "data": {"name": "echo"}},
            {"id": "__end__"},
        ],
        "edges": [{"source": "__start__", "target": "echo"}, {"source": "echo", "target": "__end__"}],
    }


async def test_a_conditional_edge_is_marked(introspection: GraphIntrospection) -> None:
    edges = json.loads(await introspection.drawing("forked", {}, False))["edges"]
    assert {"source": "only", "target": "__end__", "data": "enough", "conditional": True} in edges


async def test_subgraphs_are_drawn_to_the_given_depth(introspection: GraphIntrospection) -> None:
    assert await ids(introspection, "nested", False) == {"family", "after"}
    assert await ids(introspection, "nested", True) == {"family:child:ask", "after"}
    assert await ids(introspection, "nested", 1) == {"family:child", "after"}, "true and 1 are different questions"
    assert await ids(introspection, "nested", 2) == {"family:child:ask", "after"}
    assert await ids(introspection, "nested", 10**9) == {"family:child:ask", "after"}


async def test_the_schemas_are_those_of_the_declared_types(introspection: GraphIntrospection) -> None:
    found = json.loads(await introspection.schemas("typed", {}))
    assert list(found) == [
        "graph_id",
        "input_schema",
        "output_schema",
        "state_schema",
        "config_schema",
        "context_schema",
    ]
    assert found["graph_id"] == "typed"
    assert found["input_schema"] == {
        "properties": {"text": {"title": "Text", "type": "string"}},
        "required": ["text"],
        "title": "Given",
        "type": "object",
    }
    assert (
        found["context_schema"]
        == found["config_schema"]
        == {
            "properties": {"depth": {"title": "Depth", "type": "integer"}},
            "required": ["depth"],
            "title": "Inner",
            "type": "object",
        }
    )
    state = found["state_schema"]
    assert state["title"] == "typed_state"
    assert state["properties"]["numbers"] == {
        "default": None,
        "items": {"type": "integer"},
        "title": "Numbers",
        "type": "array",
    }
    assert state["$defs"]["Inner"]["properties"]["depth"]["type"] == "integer"
    assert state["properties"]["opaque"] == {"default": None, "title": "Opaque"}, "any value"


async def test_a_graph_without_a_context_has_no_context_schema(introspection: GraphIntrospection) -> None:
    found = json.loads(await introspection.schemas("messages", {}))
    assert (found["config_schema"], found["context_schema"]) == ({}, None)
    for name in ("input_schema", "output_schema", "state_schema"):
        assert "AIMessage" in found[name]["$defs"] and "messages" in found[name]["properties"]


async def test_subgraphs_are_named_by_their_path(introspection: GraphIntrospection) -> None:
    async def found(namespace: str | None = None, *, recurse: bool = False) -> list[str]:
        return list(json.loads(await introspection.subgraph_schemas("nested", {}, namespace, recurse=recurse)))

    assert await found() == ["family"]
    assert await found(recurse=True) == ["family", "family|child"]
    assert await found("family", recurse=True) == ["family"]
    assert await found("family|child") == ["family|child"]
    assert await found("nope") == await found("child") == await found("fam") == []
    one = json.loads(await introspection.subgraph_schemas("family", {}, "child", recurse=False))["child"]
    assert list(one) == ["input_schema", "output_schema", "state_schema", "config_schema", "context_schema"]
    assert set(one["input_schema"]["properties"]) == {"question", "answer"}


async def test_a_factory_draws_what_the_config_describes(introspection: GraphIntrospection) -> None:
    for names in (["a", "b"], ["c"]):
        drawing = json.loads(await introspection.drawing("chosen", {"configurable": {"nodes": names}}, False))
        assert {node["id"] for node in drawing["nodes"]} >= set(names)
        assert len(drawing["nodes"]) <= len(names) + 2


async def test_a_factory_is_asked_once_for_each_config(introspection: GraphIntrospection) -> None:
    calls.clear()
    for tag in ("x", "x", "y", "x"):
        await introspection.schemas("counted", {"configurable": {"tag": tag, "large": 2**80}})
    assert calls == ["x", "y"]


async def test_a_factory_that_fails_says_why_and_is_asked_again(introspection: GraphIntrospection) -> None:
    for _ in range(2):
        with pytest.raises(Unservable, match="Graph 'broken' cannot be built: LookupError: the blueprint is lost"):
            await introspection.drawing("broken", {}, False)
