"""Builds graphs in order to read them, without running them: for the states of threads, drawings and schemas.

Rules
  1. A factory is code of a user, which may block. It runs in a thread with a loop of its own, so that it delays other
     factories, and no request.
  2. A build has a deadline. Code that blocks is not stopped: it holds the thread until it returns.
  3. An exception of the code of a graph becomes Unservable, with its text: the graph or the assistant must be
     repaired, and a retry does not help.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from robyn_server.concurrency.thread_loop import ThreadLoop
from robyn_server.core.errors import AgenthallError, Misconfigured, Unavailable, Unservable

from .loading.served_graphs import Graphs

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel

_LONGEST_REASON = 1_000
_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Topologies:
    """`seconds`: the deadline of a build, without the import of the graph's code."""

    def __init__(self, graphs: Graphs, *, seconds: float) -> None:
        self._graphs = graphs
        self._seconds = seconds
        self._thread: ThreadLoop | None = None
        self._building = 0

    async def stop(self) -> None:
        if self._thread is not None and not self._building:  # a thread that is held ends with the process
            await self._thread.stop()

    async def is_configurable(self, graph_id: str) -> bool:
        """Whether a factory builds the graph, so that it may depend on the config. Raises NotFound, Unservable."""
        try:
            return await self._graphs.has_factory(graph_id)
        except Misconfigured as error:
            raise _unbuildable(graph_id, error) from error

    async def build(self, graph_id: str, config: RunnableConfig) -> Pregel[Any, Any, Any, Any]:
        """Build the graph that states are read with. Raises NotFound, Unservable, Unavailable."""
        if not await self.is_configurable(graph_id):
            return await _attempt(graph_id, self._graphs.build_topology(graph_id, config))
        return await self._in_thread(graph_id, self._graphs.build_topology(graph_id, config))

    async def read(self, graph_id: str, config: RunnableConfig, read: Callable[[Pregel[Any, Any, Any, Any]], T]) -> T:
        """Build the graph and return what `read` returns for it, which may take a while. Raises as `build` does."""

        async def work() -> T:
            return read(await self._graphs.build_topology(graph_id, config, "assistants.read"))

        await self.is_configurable(graph_id)  # imports the code, on this loop
        return await self._in_thread(graph_id, work())

    async def _in_thread(self, graph_id: str, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                return await self._started().run(self._counted(_attempt(graph_id, work)))
        except TimeoutError:
            if not deadline.expired():
                raise
            _log.warning("a graph takes too long to build", graph_id=graph_id, seconds=self._seconds)
            raise _overdue(graph_id, self._seconds) from None

    async def _counted(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs on the thread, so that work which was given up counts while it holds the thread."""
        self._building += 1
        try:
            return await work
        finally:
            self._building -= 1

    def _started(self) -> ThreadLoop:
        if self._thread is None:
            self._thread = ThreadLoop("agenthall topologies")
            self._thread.start()
        return self._thread


async def _attempt(graph_id: str, work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except (AgenthallError, asyncio.CancelledError):
        raise
    except BaseException as error:  # a factory may call sys.exit(), which would end the thread
        _log.warning("graph cannot be built", graph_id=graph_id, exc_info=True)
        raise _unbuildable(graph_id, error) from error


def _unbuildable(graph_id: str, error: BaseException) -> Unservable:
    reason = error.detail if isinstance(error, AgenthallError) else f"{type(error).__name__}: {error}"
    return Unservable(f"Graph '{graph_id}' cannot be built: {reason[:_LONGEST_REASON]}", code="graph_unbuildable")


def _overdue(graph_id: str, seconds: float) -> Unavailable:
    return Unavailable(f"Graph '{graph_id}' was not built within {seconds:g} s. Try again.", code="deadline_exceeded")
