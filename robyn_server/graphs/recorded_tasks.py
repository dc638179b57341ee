"""Tasks of a run, with their model and tool calls, read from what they wrote to checkpoints.

LangGraph is imported by the first value that has to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import structlog

from robyn_server.core.run_timeline import Call, Task, Write

_PULL, _PUSH = "~__pregel_pull, ", "~__pregel_push, "
_SENDS, _ERROR, _INTERRUPT, _MESSAGES = "__pregel_tasks", "__error__", "__interrupt__", "messages"
_UNNAMED = "task"
_log = structlog.get_logger(__name__)


def read_tasks(writes: Sequence[Write], parents: Mapping[str, str | None]) -> list[Task]:
    """The tasks that made `writes`. `parents`: of each checkpoint. Takes milliseconds, off the event loop."""
    values = {id(write): _value(write) for write in writes if write.blob is not None}
    sends: dict[str, list[str]] = {}
    for write in writes:
        if write.channel == _SENDS:
            sends.setdefault(write.checkpoint_id, []).append(getattr(values.get(id(write)), "node", _UNNAMED))
    grouped = groupby(writes, key=lambda write: (write.checkpoint_id, write.task_path, write.task_id))
    return [
        _task(list(of_task), path, sends.get(parents.get(checkpoint_id) or "", []), values)
        for (checkpoint_id, path, _), of_task in grouped
        if path  # an answer that resumes a thread is a write of no task
    ]


def _task(writes: Sequence[Write], path: str, sent: Sequence[str], values: Mapping[int, Any]) -> Task:
    channels = {write.channel for write in writes}
    results = {channel for channel in channels if not channel.startswith("__")}
    calls = [call for write in writes if write.channel == _MESSAGES for call in _calls(values.get(id(write)))]
    return Task(
        writes[0].checkpoint_id,
        writes[0].task_id,
        _node(path, sent),
        has_failed=_ERROR in channels,
        has_interrupted=_INTERRUPT in channels,
        has_results=bool(results),
        calls=calls,
    )


def _node(path: str, sent: Sequence[str]) -> str:
    """The name of a task's node. That of a task that was sent stands in the step before."""
    if path.startswith(_PULL):
        return path.removeprefix(_PULL).partition(",")[0]
    index = path.removeprefix(_PUSH).partition(",")[0]
    if path.startswith(_PUSH) and index.isdecimal() and int(index) < len(sent):
        return sent[int(index)]
    return _UNNAMED


def _value(write: Write) -> Any:
    from .checkpoints.serializer import checkpoint_serializer

    try:
        return checkpoint_serializer().loads_typed((write.type or "null", write.blob or b""))
    except Exception as error:  # noqa: BLE001 - a value of the user's own type; the timeline goes without it
        _log.debug("a value of a checkpoint could not be read", channel=write.channel, error=repr(error))
        return None


def _calls(value: Any) -> Iterator[Call]:
    for message in value if isinstance(value, list) else [value]:
        kind = getattr(message, "type", None)
        if kind == "ai":
            yield _model_call(message)
        elif kind == "tool":
            detail = {"tool_call_id": message.tool_call_id}
            yield Call("tool", message.name or "tool", getattr(message, "status", "") == "error", detail=detail)


def _model_call(message: Any) -> Call:
    usage = message.usage_metadata or {}
    name = message.response_metadata.get("model_name") or "model"
    tools = [call["name"] for call in message.tool_calls]
    return Call("model", name, False, usage.get("input_tokens"), usage.get("output_tokens"), {"tool_calls": tools})
