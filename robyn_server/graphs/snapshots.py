"""A thread's states as the API shows them, read from the checkpointer and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from .states import EMPTY_STATE

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel
    from langgraph.types import PregelTask, StateSnapshot

_CHECKPOINT_KEYS = ("checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map")


def config_at(thread_id: UUID, checkpoint: Mapping[str, Any] | None = None) -> RunnableConfig:
    """The config that names a thread, or one checkpoint of it."""
    chosen = {key: value for key, value in (checkpoint or {}).items() if key in _CHECKPOINT_KEYS and value is not None}
    return {"configurable": {"checkpoint_ns": ""} | chosen | {"thread_id": str(thread_id)}}


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
    snapshot = await graph.aget_state(config_at(thread_id, checkpoint), subgraphs=subgraphs)
    return state_json(snapshot)


async def _has_namespace(graph: Pregel[Any, Any, Any, Any], checkpoint: Mapping[str, Any] | None) -> bool:
    """Whether the graph has the subgraph that a checkpoint's namespace `node:task|node:task` names."""
    namespace = (checkpoint or {}).get("checkpoint_ns") or ""
    if not namespace:
        return True
    path = "|".join(part.partition(":")[0] for part in namespace.split("|") if not part.isdecimal())
    return path in {name async for name, _ in graph.aget_subgraphs(recurse=True)}


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


def state_json(snapshot: StateSnapshot) -> dict[str, Any]:
    if snapshot.created_at is None:
        return orjson.loads(EMPTY_STATE)  # type: ignore[no-any-return]
    checkpoint, parent = _checkpoint(snapshot.config), _checkpoint(snapshot.parent_config)
    return {
        "values": snapshot.values,
        "next": list(snapshot.next),
        "tasks": [_task_json(task) for task in snapshot.tasks],
        "metadata": snapshot.metadata,
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": list(snapshot.interrupts),
        "checkpoint_id": checkpoint and checkpoint.get("checkpoint_id"),
        "parent_checkpoint_id": parent and parent.get("checkpoint_id"),
    }


def _task_json(task: PregelTask) -> dict[str, Any]:
    state = task.state
    is_config = isinstance(state, dict)
    return {
        "id": task.id,
        "name": task.name,
        "path": list(task.path),
        "error": None if task.error is None else str(task.error),
        "interrupts": list(task.interrupts),
        "checkpoint": _checkpoint(state) if is_config else None,  # type: ignore[arg-type]
        "state": None if state is None or is_config else state_json(state),  # type: ignore[arg-type]
        "result": task.result,
    }


def _checkpoint(config: RunnableConfig | None) -> dict[str, Any] | None:
    if config is None:
        return None
    configurable = config.get("configurable", {})
    return {key: configurable[key] for key in _CHECKPOINT_KEYS if configurable.get(key) is not None}
