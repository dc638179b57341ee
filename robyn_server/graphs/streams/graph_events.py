"""Stream mode `events`: what happens inside a run, as `astream_events` (version 2) of LangChain reports it.

Rules
  1. The graph runs once. The items of its other stream modes arrive among the events, as the root's stream, and are
     told apart.
  2. An event carries no objects of the server: runtimes, stores and configs, which may hold secrets, are left out.
  3. LangChain buffers events without a limit, so the graph would run ahead of a slow reader. It starts at most `_LEAD`
     steps whose events are not read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel

EVENTS = "events"
GraphEvent: TypeAlias = tuple[Any, Mapping[str, Any] | None]
"""Either an item of the other stream modes, or None and an event."""

_LEAD = 64
_LONGEST_WAIT = 5.0
"""Seconds. A step whose events LangChain hides is never read, so waiting has an end."""

_LEVELS = 4
"""Objects and lists inside each other that are searched for the server's objects. LangChain puts them at the second."""

_CONFIG_KEYS = frozenset({"configurable", "callbacks"})


async def graph_events(
    graph: Pregel[Any, Any, Any, Any],
    given: Any,
    config: RunnableConfig,
    run_id: UUID,
    options: Mapping[str, Any],
) -> AsyncIterator[GraphEvent]:
    """Run the graph. `options` are those of `astream`. The events of the root have `run_id`."""
    lead = _Lead()
    root = str(run_id)
    others: Any = config.get("callbacks") or []
    rooted: RunnableConfig = {**config, "run_id": run_id, "callbacks": [*others, lead]}
    async with contextlib.aclosing(graph.astream_events(given, rooted, version="v2", **options)) as events:  # type: ignore[type-var]
        async for event in events:
            lead.read(event["run_id"])
            if event["event"] == "on_chain_stream" and event["run_id"] == root:
                yield event["data"]["chunk"], None
            else:
                yield None, {**event, "data": without_server_objects(event["data"])}


class _Lead(AsyncCallbackHandler):
    """Rule 3. A step that starts waits until the reader has caught up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread: set[str] = set()
        self._caught_up = asyncio.Event()

    def read(self, run_id: str) -> None:
        self._unread.discard(run_id)
        self._caught_up.set()

    async def on_chain_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        if asyncio.get_running_loop() is not self._loop:
            return  # a step without coroutines, which LangChain runs in a thread
        self._unread.add(str(run_id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT):
                await self._wait()

    async def _wait(self) -> None:
        while len(self._unread) > _LEAD:
            self._caught_up.clear()
            await self._caught_up.wait()


def without_server_objects(value: Any, levels: int = _LEVELS) -> Any:
    """Return `value` without runtimes, stores and configs in its objects and lists."""
    if levels == 0:
        return value
    if isinstance(value, Mapping):
        kept = {key: each for key, each in value.items() if not _is_of_the_server(each)}
        return {key: without_server_objects(each, levels - 1) for key, each in kept.items()}
    if type(value) in {list, tuple}:
        return [without_server_objects(each, levels - 1) for each in value if not _is_of_the_server(each)]
    return value


def _is_of_the_server(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.keys() >= _CONFIG_KEYS
    return isinstance(value, Runtime | ToolRuntime | BaseStore)
