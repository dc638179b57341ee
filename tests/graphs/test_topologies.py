"""Graphs are built off the event loop that answers requests, with a deadline."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any, TypedDict

import pytest
from deadlines import DEADLINE
from langgraph.graph import START, StateGraph

from robyn_server.core.errors import NotFound, Unavailable, Unservable
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.graphs.topologies import Topologies


class State(TypedDict, total=False):
    text: str


compiled = StateGraph(State).add_node("only", lambda state: state).add_edge(START, "only").compile()
Serve = Callable[..., Topologies]


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """`serve(source)` serves the source as the graph `only`."""
    opened: list[Topologies] = []

    def make(source: Any, seconds: float = DEADLINE) -> Topologies:
        module = ModuleType("sources_of_topologies")
        module.source = source  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        opened.append(Topologies(Graphs({"only": f"{module.__name__}:source"}, "offline:demo"), seconds=seconds))
        return opened[-1]

    yield make
    for each in opened:
        await each.stop()


def nodes(graph: Any) -> list[str]:
    return sorted(graph.nodes)


async def test_a_factory_runs_in_another_thread_and_gets_the_config(serve: Serve) -> None:
    seen: list[Any] = []

    def factory(config: Any) -> Any:
        seen.append((threading.get_ident(), config["configurable"]))
        return compiled

    topologies = serve(factory)
    assert nodes(await topologies.build("only", {"configurable": {"a": 1}})) == ["__start__", "only"]
    assert await topologies.read("only", {"configurable": {}}, nodes) == ["__start__", "only"]
    assert all(thread != threading.get_ident() for thread, _ in seen)
    assert seen[0][1] == {"a": 1, "model_name": "offline:demo"}
    assert len({thread for thread, _ in seen}) == 1


@pytest.mark.parametrize("source", [compiled, compiled.builder])
async def test_a_graph_or_a_builder_does_not_depend_on_the_config(serve: Serve, source: Any) -> None:
    topologies = serve(source)
    assert not await topologies.is_configurable("only")
    assert nodes(await topologies.build("only", {})) == ["__start__", "only"]
    assert await serve(lambda _config: source).is_configurable("only")


async def test_a_factory_that_blocks_is_given_up_and_delays_no_request(serve: Serve) -> None:
    release = threading.Event()

    def factory() -> Any:
        release.wait(DEADLINE)
        return compiled

    topologies = serve(factory, seconds=0.05)
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"Graph 'only' was not built within 0\.05 s") as error:
            await topologies.read("only", {}, nodes)
        assert error.value.code == "deadline_exceeded"
    release.set()
    topologies._seconds = DEADLINE
    assert await topologies.read("only", {}, nodes) == ["__start__", "only"]


async def test_a_factory_that_holds_the_thread_does_not_delay_the_stop(serve: Serve) -> None:
    release, held = threading.Event(), threading.Event()

    def factory() -> Any:
        held.set()
        release.wait(DEADLINE)
        return compiled

    topologies = serve(factory, seconds=0.05)
    with pytest.raises(Unavailable):
        await topologies.read("only", {}, nodes)
    assert held.is_set()
    async with asyncio.timeout(DEADLINE / 2):
        await topologies.stop()
    release.set()


async def test_a_factory_that_waits_for_ever_is_cancelled(serve: Serve) -> None:
    cancelled = threading.Event()

    async def factory() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(Unavailable):
        await serve(factory, seconds=0.05).build("only", {})
    assert await asyncio.to_thread(cancelled.wait, DEADLINE)


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (ValueError("no such model"), "ValueError: no such model"),
        (TimeoutError("tools"), "TimeoutError: tools"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyError("thread_id"), "KeyError: 'thread_id'"),
    ],
)
async def test_what_a_factory_raises_is_told_and_no_retry_helps(
    serve: Serve, raised: BaseException, words: str
) -> None:
    def factory() -> Any:
        raise raised

    topologies = serve(factory)
    for ask in (topologies.build("only", {}), topologies.read("only", {}, nodes), topologies.build("only", {})):
        with pytest.raises(Unservable) as error:
            await ask
        assert (error.value.code, error.value.detail) == (
            "graph_unbuildable",
            f"Graph 'only' cannot be built: {words}",
        )


async def test_what_a_reader_raises_is_told_too(serve: Serve) -> None:
    with pytest.raises(Unservable, match="cannot be built: ZeroDivisionError"):
        await serve(compiled).read("only", {}, lambda _graph: 1 / 0)


async def test_a_graph_that_cannot_be_imported_says_why() -> None:
    topologies = Topologies(Graphs({"lost": "no_such_module:graph"}, "offline:demo"), seconds=DEADLINE)
    for ask in (topologies.build("lost", {}), topologies.read("lost", {}, nodes)):
        with pytest.raises(Unservable, match="cannot be loaded from 'no_such_module:graph': No module named"):
            await ask
    with pytest.raises(NotFound):
        await topologies.build("other", {})
