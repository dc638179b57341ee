"""Differences from LangGraph's server that are the same in every answer, and are meant. docs/reference/conformance.md
says why.

Each rule changes a recorded answer into the one of this server. Differences of single exchanges stand beside them in
the folder `exchanges`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SERVER_NAMES = ("run_id", "thread_id", "graph_id", "assistant_id", "x-tenant", "user-agent")
_SAVER_NAMES = (
    "thread_id",
    "checkpoint_id",
    "checkpoint_ns",
    "checkpoint_map",
    "langgraph_node",
    "langgraph_path",
    "langgraph_checkpoint_ns",
    "langgraph_step",
    "langgraph_triggers",
)


def run_fields(value: dict[str, Any]) -> dict[str, Any]:
    """A run's `kwargs` have what the client gave, without the server's own names. It has a `cancel_reason`."""
    if "multitask_strategy" not in value or "kwargs" not in value:
        return value
    config = {name: each for name, each in value["kwargs"]["config"].items() if name != "metadata"}
    given = {name: each for name, each in config["configurable"].items() if name not in _SERVER_NAMES}
    kwargs = value["kwargs"] | {"config": config | {"configurable": given}, "checkpoint": None}
    return value | {"kwargs": kwargs, "cancel_reason": "<any>"}


def state_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a state does not repeat what names its checkpoint, and has no nulls."""
    if "parent_checkpoint" not in value or not isinstance(value.get("metadata"), dict):
        return value
    kept = {name: each for name, each in value["metadata"].items() if name not in _SAVER_NAMES and each is not None}
    return value | {"metadata": kept}


def state_interrupts(value: dict[str, Any]) -> dict[str, Any]:
    """Interrupts of a state have a `response_schema`, as those of a stream have."""
    if "interrupts" not in value or not isinstance(value["interrupts"], list):
        return value
    return value | {"interrupts": [each | {"response_schema": None} for each in value["interrupts"]]}


EVERYWHERE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "run-fields": run_fields,
    "state-metadata": state_metadata,
    "state-interrupts": state_interrupts,
}


def as_intended(value: Any, rules: set[str]) -> Any:
    """Apply the rules in every object of an answer. Adds the names of those that changed something to `rules`."""
    if isinstance(value, list):
        return [as_intended(each, rules) for each in value]
    if not isinstance(value, dict):
        return value
    value = {name: as_intended(each, rules) for name, each in value.items()}
    for name, rule in EVERYWHERE.items():
        changed = rule(value)
        if changed != value:
            rules.add(name)
            value = changed
    return value
