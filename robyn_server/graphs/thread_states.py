"""Reads and updates the states of threads, in the form of the API, from the checkpointer.

LangGraph is imported, and the checkpointer's pool opened, by the first request that needs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from robyn_server.core.errors import AgenthallError, TooLarge
from robyn_server.core.threads.state_select import StateSelect

from .checkpoints.config import checkpoint_of, config_at
from .state_json import EMPTY_STATE, state_json
from .topologies import Topologies

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

    from .checkpoints.saver import Checkpoints
    from .state_updates import NodeUpdate, StateUpdate

_PAGE_BYTES = 1_000_000


class ThreadStates:
    """`max_bytes`: of an answer. `max_state_bytes`: of a state that is written."""

    def __init__(
        self, topologies: Topologies, dsn: str, *, pool_size: int, max_bytes: int, max_state_bytes: int
    ) -> None:
        self._max_state_bytes = max_state_bytes
        self._topologies = topologies
        self._dsn = dsn
        self._pool_size = pool_size
        self._max_bytes = max_bytes
        self._checkpoints: Checkpoints | None = None
        self._opening = asyncio.Lock()

    async def stop(self) -> None:
        if self._checkpoints is not None:
            await self._checkpoints.stop()

    def empty_state(self, select: StateSelect | None = None) -> bytes:
        return EMPTY_STATE if select is None else orjson.dumps(select.apply(orjson.loads(EMPTY_STATE)))

    async def state(
        self,
        graph_id: str,
        configurable: Mapping[str, Any],
        thread_id: UUID,
        *,
        select: StateSelect | None = None,
        **options: Any,
    ) -> bytes:
        graph = await self._graph(graph_id, configurable)
        state = await read_state(graph, thread_id, **options)
        (text,) = await asyncio.to_thread(_texts, [state], select)
        _check_size(len(text), self._max_bytes)
        return text

    async def history(self, graph_id: str, configurable: Mapping[str, Any], thread_id: UUID, **options: Any) -> bytes:
        graph = await self._graph(graph_id, configurable)
        return await history_json(graph, thread_id, max_bytes=self._max_bytes, **options)

    async def update(
        self, graph_id: str, configurable: Mapping[str, Any], thread_id: UUID, values: Any, **options: Any
    ) -> StateUpdate:
        """Raises BadRequest for an update that the graph refuses, and StateTooLarge."""
        from .state_updates import update_state

        graph = await self._graph(graph_id, configurable)
        return await update_state(graph, thread_id, values, **options)

    async def apply(
        self,
        graph_id: str,
        thread_id: UUID,
        supersteps: Sequence[Sequence[NodeUpdate]],
        *,
        metadata: Mapping[str, Any],
    ) -> StateUpdate:
        """Raises BadRequest for an update that the graph refuses, and StateTooLarge."""
        from .state_updates import apply_supersteps

        graph = await self._graph(graph_id, {})
        return await apply_supersteps(graph, thread_id, supersteps, metadata=metadata)

    async def _graph(self, graph_id: str, configurable: Mapping[str, Any]) -> Pregel[Any, Any, Any, Any]:
        checkpoints = await self._open_checkpoints()
        graph = await self._topologies.build(graph_id, {"configurable": dict(configurable)})
        return graph.copy({"checkpointer": checkpoints.saver()})

    async def _open_checkpoints(self) -> Checkpoints:
        async with self._opening:
            if self._checkpoints is None:
                checkpoints = await asyncio.to_thread(_import_checkpoints)
                opened: Checkpoints = checkpoints(
                    self._dsn, size=self._pool_size, max_state_bytes=self._max_state_bytes
                )
                await opened.start()
                self._checkpoints = opened
        return self._checkpoints


def _import_checkpoints() -> Any:
    """Import what reading needs. Called off the event loop: the import takes half a second."""
    from .checkpoints import serialization  # noqa: F401
    from .checkpoints.saver import Checkpoints

    return Checkpoints


async def read_state(
    graph: Pregel[Any, Any, Any, Any],
    thread_id: UUID,
    *,
    checkpoint: Mapping[str, Any] | None = None,
    subgraphs: bool = False,
) -> dict[str, Any]:
    """One ThreadState; the empty one where there is no such checkpoint."""
    if not await _has_namespace(graph, checkpoint):
        return orjson.loads(EMPTY_STATE)  # type: ignore[no-any-return]
    try:
        snapshot = await graph.aget_state(config_at(thread_id, checkpoint), subgraphs=subgraphs)
    except AgenthallError:
        raise
    except Exception:
        # The latest state includes the writes of finished tasks. A reducer that refused such a write as the run failed
        # refuses it again.
        latest = await _latest_checkpoint(graph, thread_id, checkpoint)
        if latest is None:
            raise
        snapshot = await graph.aget_state(config_at(thread_id, latest), subgraphs=subgraphs)
    return state_json(snapshot)


async def _latest_checkpoint(
    graph: Pregel[Any, Any, Any, Any], thread_id: UUID, checkpoint: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The thread's latest checkpoint, by its id; None when `checkpoint` names one already."""
    from langgraph.checkpoint.base import BaseCheckpointSaver

    saver = graph.checkpointer
    if (checkpoint or {}).get("checkpoint_id") or not isinstance(saver, BaseCheckpointSaver):
        return None
    saved = await saver.aget_tuple(config_at(thread_id, checkpoint))
    return None if saved is None else checkpoint_of(saved.config)


async def _has_namespace(graph: Pregel[Any, Any, Any, Any], checkpoint: Mapping[str, Any] | None) -> bool:
    """Whether the graph has the subgraph that a checkpoint's namespace `node:task|node:task` names."""
    namespace = (checkpoint or {}).get("checkpoint_ns") or ""
    if not namespace:
        return True
    path = "|".join(part.partition(":")[0] for part in namespace.split("|") if not part.isdecimal())
    return path in {name async for name, _ in graph.aget_subgraphs(recurse=True)}


async def history_json(
    graph: Pregel[Any, Any, Any, Any],
    thread_id: UUID,
    *,
    limit: int,
    max_bytes: int,
    before: Mapping[str, Any] | None = None,
    select: StateSelect | None = None,
    **where: Any,
) -> bytes:
    """Return `read_history` as JSON. Raises TooLarge.

    The first page is one state. Its size tells how many are read at once: in memory, a state takes ten times its text.
    """
    parts: list[bytes] = []
    size, page = 0, 1
    while True:
        states = await read_history(graph, thread_id, limit=page, before=before, **where)
        parts += await asyncio.to_thread(_texts, states, select)
        size = sum(map(len, parts))
        _check_size(size, max_bytes)
        if len(states) < page or len(parts) == limit:
            return b"[" + b",".join(parts) + b"]"
        before = {"checkpoint_id": states[-1]["checkpoint_id"]}
        page = min(limit - len(parts), max(1, _PAGE_BYTES // max(map(len, parts))))


def _texts(states: Sequence[dict[str, Any]], select: StateSelect | None) -> list[bytes]:
    from .checkpoints.serialization import dumps

    return [dumps(state if select is None else select.apply(state)) for state in states]


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise TooLarge(
            f"The answer is larger than {max_bytes} bytes (AGENTHALL_MAX_ANSWER_BYTES). Ask for fewer states with `limit`.",
            code="answer_too_large",
        )


async def read_history(
    graph: Pregel[Any, Any, Any, Any],
    thread_id: UUID,
    *,
    limit: int,
    before: Mapping[str, Any] | None = None,
    checkpoint: Mapping[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """ThreadStates, newest first; `before` leaves out that checkpoint and all later ones."""
    if not await _has_namespace(graph, checkpoint):
        return []
    states = graph.aget_state_history(
        config_at(thread_id, checkpoint and {"checkpoint_ns": checkpoint.get("checkpoint_ns", "")}),
        filter=metadata,
        before=config_at(thread_id, before) if before else None,
        limit=limit,
    )
    return [state_json(snapshot) async for snapshot in states]
