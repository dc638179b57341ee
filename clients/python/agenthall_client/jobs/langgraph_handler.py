"""Run a compiled LangGraph graph for each job. Needs the extra `agenthall-client[langgraph]`.

The state of the thread is the input, and the thread's id is that of the graph's own thread. A graph with a checkpointer
may interrupt; the answer resumes it. Events of the modes that the caller reads are forwarded. The last values are the
result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, time
from typing import Any
from uuid import UUID

from agenthall_client.connection.json_text import JsonText, to_json

from .job import Job

_MODES = {
    "messages": "messages",
    "messages-tuple": "messages",
    "values": "values",
    "updates": "updates",
    "custom": "custom",
}
"""Modes of the caller, and those of LangGraph."""

_INTERRUPT = "__interrupt__"


def run_graph(graph: Any) -> Callable[[Job], Awaitable[None]]:
    async def run(job: Job) -> None:
        wanted = {_MODES[mode] for mode in job.stream_mode if mode in _MODES}
        values: Mapping[str, Any] = {}
        stream = graph.astream(
            _input_of(job), _config_of(job), context=job.context or None, stream_mode=sorted(wanted | {"values"})
        )
        async for mode, chunk in stream:
            if mode == "values":
                values = chunk
            if mode in wanted:
                await job.emit((mode, to_plain_json(_without_interrupts(chunk))))
        if interrupts := values.get(_INTERRUPT):
            await job.interrupt([to_plain_json(each.value) for each in interrupts], [each.id for each in interrupts])
        else:
            job.result = to_plain_json(values)

    return run


def _input_of(job: Job) -> Any:
    if job.resume is None:
        return job.input
    from langgraph.types import Command

    return Command(resume=job.resume)


def _config_of(job: Job) -> dict[str, Any]:
    configurable = {**job.config.get("configurable", {}), "thread_id": job.thread_id or job.job_id}
    return {"configurable": configurable, "metadata": {**job.config.get("metadata", {}), "job_id": job.job_id}}


def _without_interrupts(chunk: Any) -> Any:
    """The server reports interrupts itself."""
    if not isinstance(chunk, Mapping):
        return chunk
    return {name: value for name, value in chunk.items() if name != _INTERRUPT}


def to_plain_json(value: Any) -> JsonText:
    """Return JSON of what a state may hold: messages, models, dataclasses, times. Raises TypeError for others."""
    return to_json(value, _to_plain)


def _to_plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (UUID, date, time)):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
