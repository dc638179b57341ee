"""Reads threads' states for the web: LangGraph is imported, and the checkpointer's pool opened, on the first request that needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from .loading import Graphs

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

    from .checkpoints import Checkpoints

EMPTY_STATE = orjson.dumps(
    {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": None,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": None,
        "parent_checkpoint_id": None,
    }
)
"""The state of a thread on which nothing ever ran."""


class States:
    def __init__(self, graphs: Graphs, dsn: str, *, pool_size: int) -> None:
        self._graphs = graphs
        self._dsn = dsn
        self._pool_size = pool_size
        self._checkpoints: Checkpoints | None = None
        self._opening = asyncio.Lock()

    async def stop(self) -> None:
        if self._checkpoints is not None:
            await self._checkpoints.stop()

    def empty_state(self) -> bytes:
        return EMPTY_STATE

    async def state(self, graph_id: str, configurable: Mapping[str, Any], thread_id: UUID, **options: Any) -> bytes:
        graph = await self._graph(graph_id, configurable)
        from .snapshots import read_state
        from .wire import dumps

        return dumps(await read_state(graph, thread_id, **options))

    async def history(self, graph_id: str, configurable: Mapping[str, Any], thread_id: UUID, **options: Any) -> bytes:
        graph = await self._graph(graph_id, configurable)
        from .snapshots import read_history
        from .wire import dumps

        return dumps(await read_history(graph, thread_id, **options))

    async def _graph(self, graph_id: str, configurable: Mapping[str, Any]) -> Pregel[Any, Any, Any, Any]:
        checkpoints = await self._opened()
        graph = await self._graphs.build_topology(graph_id, {"configurable": dict(configurable)})
        return graph.copy({"checkpointer": checkpoints.saver()})

    async def _opened(self) -> Checkpoints:
        async with self._opening:
            if self._checkpoints is None:
                checkpoints = await asyncio.to_thread(_import_checkpoints)
                opened: Checkpoints = checkpoints(self._dsn, size=self._pool_size)
                await opened.start()
                self._checkpoints = opened
        return self._checkpoints


def _import_checkpoints() -> Any:
    """Off the event loop: the import takes half a second. Brings in what reading needs as well."""
    from . import snapshots, wire  # noqa: F401
    from .checkpoints import Checkpoints

    return Checkpoints
