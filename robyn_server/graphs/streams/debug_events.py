"""Events of the stream modes `checkpoints` and `debug`, without the parts of the run's config that are the server's
own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robyn_server.graphs.checkpoints.config import checkpoint_of

_NAMES = ("run_id", "graph_id", "assistant_id")
_CHECKPOINT = "checkpoint"


def checkpoint_event(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a checkpoint in the mode `checkpoints`."""
    return {
        **payload,
        "config": _named(payload.get("config")),
        "parent_config": _named(payload.get("parent_config")),
        "tasks": [_task(task) for task in payload.get("tasks", ())],
    }


def debug_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event of the mode `debug`: of a checkpoint, a task, or a task's result."""
    payload = event["payload"]
    if event["type"] != _CHECKPOINT:
        return dict(event)
    named = {
        "checkpoint": checkpoint_of(payload.get("config")),
        "parent_checkpoint": checkpoint_of(payload.get("parent_config")),
    }
    return {**event, "payload": checkpoint_event(payload) | named}


def _task(task: Mapping[str, Any]) -> dict[str, Any]:
    """`state` is the config of a subgraph's checkpoint, or its state."""
    state = task.get("state")
    is_config = isinstance(state, Mapping) and "configurable" in state
    return {**task, "state": _named(state)} if is_config else dict(task)


def _named(config: Any) -> dict[str, Any] | None:
    """The config of a checkpoint with what names it, and what names its run."""
    checkpoint = checkpoint_of(config)
    if checkpoint is None:
        return None
    configurable = config.get("configurable", {})
    names = {name: configurable[name] for name in _NAMES if name in configurable}
    return {"configurable": checkpoint | names}
