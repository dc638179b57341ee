"""Factories of graphs, in every form that LangGraph accepts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.runtime import ServerRuntime

from robyn_server.graphs.loading.factories import opened, reading_runtime, run_runtime


class State(TypedDict, total=False):
    text: str


@dataclass
class Settings:
    language: str = "en"


builder = StateGraph(State).add_node("only", lambda state: state).add_edge(START, "only")
compiled = builder.compile()
CONFIG: Any = {"configurable": {"a": 1}}
STORE = InMemoryStore()
events: list[Any] = []


@pytest.fixture(autouse=True)
def no_events() -> None:
    events.clear()


def plain() -> Any:
    return builder


def of_config(config: Any) -> Any:
    events.append(config["configurable"]["a"])
    return compiled


async def coroutine(config: Any) -> Any:
    events.append(config["configurable"]["a"])
    return builder


@contextlib.asynccontextmanager
async def async_manager(config: Any) -> AsyncIterator[Any]:
    events.append("open")
    try:
        yield compiled
    finally:
        events.append("closed")


@contextlib.contextmanager
def manager() -> Iterator[Any]:
    events.append("open")
    yield builder
    events.append("closed")


async def async_generator(config: Any) -> AsyncIterator[Any]:
    events.append("open")
    yield compiled
    events.append("closed")


def generator(config: Any) -> Iterator[Any]:
    events.append("open")
    yield compiled
    events.append("closed")


def annotated(given: ServerRuntime[Settings]) -> Any:
    events.append((given.access_context, given.store is STORE))
    running = given.execution_runtime
    events.append(None if running is None else running.context)
    return compiled


async def of_both(runtime: Any, config: Any, verbose: bool = False) -> Any:
    events.append((runtime.access_context, config["configurable"]["a"], verbose))
    return compiled


def of_keywords(*, config: Any, runtime: Any) -> Any:
    return of_config(config) if runtime else None


CASES: dict[str, tuple[Any, list[Any]]] = {
    "a compiled graph": (compiled, []),
    "a builder": (builder, []),
    "nothing": (plain, []),
    "the config": (of_config, [1]),
    "a coroutine": (coroutine, [1]),
    "an async context manager": (async_manager, ["open", "within", "closed"]),
    "a context manager": (manager, ["open", "within", "closed"]),
    "an async generator": (async_generator, ["open", "within", "closed"]),
    "a generator": (generator, ["open", "within", "closed"]),
    "the runtime": (annotated, [("threads.create_run", True), Settings("de")]),
    "both": (of_both, [("threads.create_run", 1, False)]),
    "keywords": (of_keywords, [1]),
}


@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES)
async def test_each_form_makes_a_compiled_graph(source: Any, expected: list[Any]) -> None:
    async with opened(source, CONFIG, run_runtime(STORE, {"language": "de"})) as graph:
        assert await graph.ainvoke({"text": "x"}) == {"text": "x"}
        if "open" in events:
            events.append("within")
    assert events == expected


async def test_a_graph_that_is_read_has_the_reading_runtime_without_a_store() -> None:
    stores = list[Any]()

    def factory(runtime: Any) -> Any:
        stores.append(runtime.store)
        return annotated(runtime)

    async with opened(factory, CONFIG, reading_runtime("assistants.read")) as graph:
        assert "only" in graph.nodes
    assert events == [("assistants.read", False), None]
    with pytest.raises(RuntimeError, match="only read has no store"):
        await stores[0].aget(("a",), "k")


async def test_what_a_factory_holds_open_is_closed_when_the_run_fails() -> None:
    with pytest.raises(ValueError, match="in the run"):
        async with opened(async_manager, CONFIG, run_runtime(STORE, None)):
            raise ValueError("in the run")
    assert events == ["open", "closed"]


def unfit(config: Any, other: Any) -> Any:
    return compiled


@pytest.mark.parametrize(
    ("factory", "context", "reason"),
    [(unfit, {}, "a parameter 'other'"), (annotated, {"language": 7}, "language")],
)
async def test_an_unfit_signature_or_context_is_an_error_that_names_it(
    factory: Callable[..., Any], context: Any, reason: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        async with opened(factory, CONFIG, run_runtime(STORE, context)):
            pass
