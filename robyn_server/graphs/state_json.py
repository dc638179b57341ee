"""The state of a thread in the form of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from .checkpoints.config import checkpoint_of

if TYPE_CHECKING:
    from langgraph.types import PregelTask, StateSnapshot

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


def state_json(snapshot: StateSnapshot) -> dict[str, Any]:
    if snapshot.created_at is None:
        return orjson.loads(EMPTY_STATE)  # type: ignore[no-any-return]
    checkpoint, parent = checkpoint_of(snapshot.config), checkpoint_of(snapshot.parent_config)
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
        "checkpoint": checkpoint_of(state) if is_config else None,  # type: ignore[arg-type]
        "state": None if state is None or is_config else state_json(state),  # type: ignore[arg-type]
        "result": task.result,
    }
