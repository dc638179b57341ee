"""LangGraph's RemoteGraph: a graph of this server as a graph, and as a node of another one, in another process."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph.types import Command
from served.sample_graphs import Count, Decision, Text
from servers.live_server import LiveServer


def _remote(server: LiveServer, graph: str) -> RemoteGraph[Any]:
    return RemoteGraph(graph, url=server.url, client=server.sdk(), name=graph)


def _parent(schema: Any, *nodes: RemoteGraph[Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A graph that runs here, with graphs of the server as its nodes in a row."""
    builder = StateGraph(schema)
    names = [node.name or "" for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node)
    for before, after in zip([START, *names], names, strict=False):
        builder.add_edge(before, after)
    return builder.compile(checkpointer=InMemorySaver())


def _thread() -> RunnableConfig:
    return {"configurable": {"thread_id": str(uuid4())}}


async def test_a_remote_graph_is_invoked_with_and_without_a_thread(server: LiveServer) -> None:
    counter, thread = _remote(server, "counter"), _thread()
    assert (await counter.ainvoke({"until": 2}))["seen"] == [1, 2]
    assert (await counter.ainvoke({"until": 2}, thread))["seen"] == [1, 2]
    assert (await counter.ainvoke({"until": 4}, thread))["seen"] == [1, 2, 3, 4]


async def test_a_remote_graph_is_invoked_by_code_that_is_not_asynchronous(server: LiveServer) -> None:
    counter = _remote(server, "counter")
    answer: dict[str, Any] = await asyncio.to_thread(counter.invoke, {"until": 2})
    assert answer["seen"] == [1, 2]


async def test_a_remote_graph_streams_its_modes(server: LiveServer) -> None:
    stream = _remote(server, "counter").astream({"until": 2}, stream_mode=["updates", "custom"])
    assert [(event, data) async for event, data, *_ in stream] == [
        ("custom", {"at": 1}),
        ("updates", {"step": {"count": 1, "seen": [1]}}),
        ("custom", {"at": 2}),
        ("updates", {"step": {"count": 2, "seen": [2]}}),
    ]


async def test_a_remote_graph_has_a_state_and_a_history(server: LiveServer) -> None:
    counter, thread = _remote(server, "counter"), _thread()
    await counter.ainvoke({"until": 2}, thread)
    state = await counter.aget_state(thread)
    assert (state.values["seen"], state.next) == ([1, 2], ())
    history = [past async for past in counter.aget_state_history(thread)]
    assert [past.values.get("count") for past in history] == [2, 1, None, None]
    earlier = await counter.aget_state(history[1].config)
    assert (earlier.values["seen"], earlier.next) == ([1], ("step",))


async def test_a_state_is_updated_through_a_remote_graph(server: LiveServer) -> None:
    counter, thread = _remote(server, "counter"), _thread()
    await counter.ainvoke({"until": 1}, thread)
    await counter.aupdate_state(thread, {"until": 3}, as_node="step")
    assert (await counter.aget_state(thread)).next == ("step",)
    assert (await counter.ainvoke(None, thread))["seen"] == [1, 2, 3]


async def test_a_remote_graph_is_drawn(server: LiveServer) -> None:
    drawn = await _remote(server, "nested").aget_graph(xray=True)
    assert {"family:child:ask", "after"} <= set(drawn.nodes)


async def test_an_error_of_a_remote_graph_is_raised(server: LiveServer) -> None:
    with pytest.raises(RemoteException, match="this graph always fails"):
        await _remote(server, "failing").ainvoke({})


async def test_a_remote_graph_is_a_node(server: LiveServer) -> None:
    parent = _parent(Text, _remote(server, "echo"))
    assert await parent.ainvoke({"text": "hello"}, _thread()) == {"text": "hello"}


async def test_the_events_of_a_remote_node_are_events_of_its_parent(server: LiveServer) -> None:
    parent = _parent(Count, _remote(server, "counter"))
    stream = parent.astream({"until": 2}, _thread(), stream_mode=["updates", "custom"], subgraphs=True)
    events = [(namespace[0].partition(":")[0], mode, data) async for namespace, mode, data in stream if namespace]
    assert events == [
        ("counter", "custom", {"at": 1}),
        ("counter", "updates", {"step": {"count": 1, "seen": [1]}}),
        ("counter", "custom", {"at": 2}),
        ("counter", "updates", {"step": {"count": 2, "seen": [2]}}),
    ]


@pytest.mark.parametrize("graph", ["approval", "family", "nested"])
async def test_an_interrupt_of_a_remote_node_stops_its_parent(server: LiveServer, graph: str) -> None:
    parent, thread = _parent(Decision, _remote(server, graph)), _thread()
    await parent.ainvoke({"question": "now?"}, thread)
    state = await parent.aget_state(thread)
    assert state.next == (graph,)
    assert [interrupt.value for interrupt in state.interrupts] == [{"question": "now?"}]


@pytest.mark.parametrize("graph", ["approval", "family"])
async def test_an_interrupted_remote_graph_is_resumed(server: LiveServer, graph: str) -> None:
    remote, thread = _remote(server, graph), _thread()
    await remote.ainvoke({"question": "now?"}, thread)
    assert [interrupt.value for interrupt in (await remote.aget_state(thread)).interrupts] == [{"question": "now?"}]
    assert (await remote.ainvoke(Command(resume="yes"), thread))["answer"] == "yes"
    assert (await remote.aget_state(thread)).next == ()


async def test_the_state_of_a_remote_subgraph_is_read(server: LiveServer) -> None:
    remote, thread = _remote(server, "family"), _thread()
    await remote.ainvoke({"question": "now?"}, thread)
    (task,) = (await remote.aget_state(thread, subgraphs=True)).tasks
    assert task.state is not None
    assert (task.name, task.state.next) == ("child", ("ask",))  # type: ignore[union-attr]


async def test_events_of_remote_subgraphs_are_streamed_with_their_namespace(server: LiveServer) -> None:
    remote, thread = _remote(server, "family"), _thread()
    await remote.ainvoke({"question": "now?"}, thread)
    stream = remote.astream(Command(resume="yes"), thread, stream_mode="updates", subgraphs=True)
    events = [([part.partition(":")[0] for part in namespace], data) async for namespace, data in stream]
    assert events == [(["child"], {"ask": {"answer": "yes"}}), ([], {"child": {"question": "now?", "answer": "yes"}})]


async def test_a_remote_graph_stops_before_a_node(server: LiveServer) -> None:
    road, thread = _remote(server, "road"), _thread()
    await road.ainvoke({"note": "x"}, thread, interrupt_before=["second"])
    assert (await road.aget_state(thread)).next == ("second",)
    assert (await road.ainvoke(None, thread))["passed"] == ["first", "second"]
