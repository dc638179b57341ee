"""Every parameter of every method of the official SDK, with a value: those that work, and those that the server refuses
by name.

A parameter that a new release of the SDK adds stands in no table, and fails `test_sdk_parameters.py`. Move a parameter
from `refused` to `works` with the field that it sends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from langgraph_sdk.client import (
    AssistantsClient,
    CronClient,
    LangGraphClient,
    RunsClient,
    StoreClient,
    ThreadsClient,
)

CLIENTS: Mapping[str, type] = {
    "assistants": AssistantsClient,
    "threads": ThreadsClient,
    "runs": RunsClient,
    "store": StoreClient,
    "crons": CronClient,
}


@dataclass(frozen=True)
class Made:
    """The things that the calls name: a thread on which the graph `road` has run."""

    client: LangGraphClient
    assistant_id: str
    thread_id: str
    run_id: str
    checkpoint: dict[str, Any]


Base: TypeAlias = Callable[[Made], Awaitable[dict[str, Any]]]
"""The arguments of a call that works."""

FromMade: TypeAlias = Callable[[Made], Any]


@dataclass(frozen=True)
class Method:
    """`works`: further parameters with a value each, or a function of `Made`.

    `refused`: a value, and the field that is named.
    """

    base: Base
    works: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class NotOffered:
    """An operation that answers 405. `parameters`: those that are not in the call."""

    base: Base
    parameters: tuple[str, ...]


COMMON = {"headers": {"x-test": "1"}, "params": {"q": "1"}}


def given(**arguments: Any) -> Base:
    """Arguments of a call; a function is called with `Made`."""

    async def base(made: Made) -> dict[str, Any]:
        return {name: value_for(value, made) for name, value in arguments.items()}

    return base


def value_for(value: Any, made: Made) -> Any:
    return value(made) if isinstance(value, _Named) else value


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, made: Made) -> Any:
        return getattr(made, self.name)


ASSISTANT, THREAD, RUN = _Named("assistant_id"), _Named("thread_id"), _Named("run_id")
CHECKPOINT = _Named("checkpoint")


class _CheckpointId(_Named):
    def __call__(self, made: Made) -> Any:
        return made.checkpoint["checkpoint_id"]


CHECKPOINT_ID = _CheckpointId("checkpoint")


class _Fresh(_Named):
    def __call__(self, made: Made) -> Any:
        return str(uuid4())


FRESH = _Fresh("id")


async def _assistant(made: Made) -> dict[str, Any]:
    return {"assistant_id": (await made.client.assistants.create("road"))["assistant_id"]}


async def _thread(made: Made) -> dict[str, Any]:
    return {"thread_id": (await made.client.threads.create())["thread_id"]}


async def _road(made: Made) -> dict[str, Any]:
    """A thread with a state, on which nothing runs."""
    thread = await _thread(made)
    await made.client.runs.wait(thread["thread_id"], "road", input={"note": "a"})
    return thread


async def _pending(made: Made) -> dict[str, Any]:
    thread = await _thread(made)
    run = await made.client.runs.create(thread["thread_id"], "road", input={"note": "a"}, after_seconds=600)
    return {**thread, "run_id": run["run_id"]}


async def _pending_list(made: Made) -> dict[str, Any]:
    pending = await _pending(made)
    return {"thread_id": pending["thread_id"], "run_ids": [pending["run_id"]]}


async def _run(made: Made) -> dict[str, Any]:
    return {**await _road(made), "assistant_id": "road", "input": {"note": "b"}}


async def _followed(made: Made) -> dict[str, Any]:
    """A thread with a run that begins, and ends, when it is followed."""
    thread = await _thread(made)
    await made.client.runs.create(thread["thread_id"], "road", input={"note": "a"}, after_seconds=1)
    return thread


async def _cron(_made: Made) -> dict[str, Any]:
    return {"assistant_id": "road", "schedule": "0 0 * * *"}


def _on_run_created(_metadata: Any) -> None:
    """Nothing to do."""


RUN_WORKS = {
    **COMMON,
    "command": {"goto": "siding", "update": [["note", "c"]]},
    "metadata": {"m": 1},
    "config": {"recursion_limit": 20, "tags": ["t"]},
    "context": {"name": "n"},
    "checkpoint": CHECKPOINT,
    "checkpoint_id": CHECKPOINT_ID,
    "checkpoint_during": False,
    "interrupt_before": ["second"],
    "interrupt_after": "*",
    "multitask_strategy": "rollback",
    "if_not_exists": "create",
    "on_completion": "keep",
    "after_seconds": 1,
    "on_run_created": _on_run_created,
    "durability": "sync",
    "strict_resume": True,
}
RUN_REFUSED = {
    "webhook": ("https://example.org/hook", "webhook"),
    "langsmith_tracing": ({"project_name": "p"}, "langsmith_tracer"),
}
STREAMING = {"stream_mode": ["values", "events"], "stream_subgraphs": True, "stream_resumable": True}
_CRON_FIELDS = (
    "input",
    "metadata",
    "config",
    "context",
    "interrupt_before",
    "interrupt_after",
    "webhook",
    "end_time",
    "enabled",
    "timezone",
    "stream_mode",
    "stream_subgraphs",
    "stream_resumable",
    "durability",
    "headers",
    "params",
)

METHODS: Mapping[str, Method | NotOffered] = {
    "assistants.count": Method(given(), {**COMMON, "metadata": {"m": 1}, "graph_id": "road", "name": "n"}),
    "assistants.create": Method(
        given(graph_id="road"),
        {
            **COMMON,
            "config": {"tags": ["t"]},
            "context": {"name": "n"},
            "metadata": {"m": 1},
            "assistant_id": FRESH,
            "if_exists": "do_nothing",
            "name": "n",
            "description": "d",
        },
    ),
    "assistants.delete": Method(_assistant, {**COMMON, "delete_threads": True}),
    "assistants.get": Method(given(assistant_id=ASSISTANT), COMMON),
    "assistants.get_graph": Method(given(assistant_id=ASSISTANT), {**COMMON, "xray": True}),
    "assistants.get_schemas": Method(given(assistant_id=ASSISTANT), COMMON),
    "assistants.get_subgraphs": Method(
        given(assistant_id=ASSISTANT), {**COMMON, "namespace": "child", "recurse": True}
    ),
    "assistants.get_versions": Method(
        given(assistant_id=ASSISTANT), {**COMMON, "metadata": {"m": 1}, "limit": 1, "offset": 1}
    ),
    "assistants.search": Method(
        given(),
        {
            **COMMON,
            "metadata": {"m": 1},
            "graph_id": "road",
            "name": "n",
            "limit": 1,
            "offset": 1,
            "sort_by": "name",
            "sort_order": "asc",
            "select": ["name"],
            "response_format": "object",
        },
    ),
    "assistants.set_latest": Method(given(assistant_id=ASSISTANT, version=1), COMMON),
    "assistants.update": Method(
        _assistant,
        {
            **COMMON,
            "graph_id": "echo",
            "config": {"tags": ["t"]},
            "context": {"name": "n"},
            "metadata": {"m": 1},
            "name": "n",
            "description": "d",
        },
    ),
    "threads.copy": Method(given(thread_id=THREAD), COMMON),
    "threads.count": Method(given(), {**COMMON, "metadata": {"m": 1}, "values": {"note": "a"}, "status": "idle"}),
    "threads.create": Method(
        given(),
        {
            **COMMON,
            "metadata": {"m": 1},
            "thread_id": FRESH,
            "if_exists": "do_nothing",
            "graph_id": "road",
            "ttl": 5,
            "supersteps": [{"updates": [{"values": {"note": "s"}, "as_node": "first"}]}],
        },
    ),
    "threads.delete": Method(_thread, COMMON),
    "threads.get": Method(given(thread_id=THREAD), {**COMMON, "include": ["ttl"]}),
    "threads.get_history": Method(
        given(thread_id=THREAD),
        {
            **COMMON,
            "limit": 1,
            "before": CHECKPOINT_ID,
            "metadata": {"source": "loop"},
            "checkpoint": CHECKPOINT,
            "select": ["next"],
        },
    ),
    "threads.get_state": Method(
        given(thread_id=THREAD),
        {**COMMON, "checkpoint": CHECKPOINT, "checkpoint_id": CHECKPOINT_ID, "subgraphs": True, "select": ["next"]},
    ),
    "threads.join_stream": Method(
        _followed,
        {
            **COMMON,
            "stream_mode": ["run_modes", "lifecycle"],
            "last_event_id": "01a1ff93-7ffe-76b1-bd8e-779f2cb0e5da:1-0",
        },
    ),
    "threads.prune": Method(given(thread_ids=[]), {**COMMON, "strategy": "keep_latest"}),
    "threads.search": Method(
        given(),
        {
            **COMMON,
            "metadata": {"m": 1},
            "values": {"note": "a"},
            "ids": [str(UUID(int=1))],
            "status": "idle",
            "limit": 1,
            "offset": 1,
            "sort_by": "status",
            "sort_order": "asc",
            "select": ["status"],
            "extract": {"note": "values.note"},
        },
    ),
    "threads.stream": NotOffered(
        given(thread_id=THREAD, assistant_id="road"), ("headers", "run_start_timeout", "transport")
    ),
    "threads.update": Method(given(thread_id=THREAD, metadata={"m": 1}), {**COMMON, "return_minimal": True, "ttl": 5}),
    "threads.update_state": Method(
        given(thread_id=THREAD, values={"note": "u"}),
        {**COMMON, "as_node": "first", "checkpoint": CHECKPOINT, "checkpoint_id": CHECKPOINT_ID},
    ),
    "runs.cancel": Method(_pending, {**COMMON, "wait": True, "action": "rollback"}),
    "runs.cancel_many": Method(_pending_list, {**COMMON, "action": "rollback", "status": "pending"}),
    "runs.create": Method(_run, {**RUN_WORKS, **STREAMING}, RUN_REFUSED),
    "runs.create_batch": Method(given(payloads=[{"assistant_id": "road", "input": {"note": "a"}}]), COMMON),
    "runs.delete": Method(_pending, COMMON),
    "runs.get": Method(given(thread_id=THREAD, run_id=RUN), COMMON),
    "runs.join": Method(given(thread_id=THREAD, run_id=RUN), COMMON),
    "runs.join_stream": Method(
        given(thread_id=THREAD, run_id=RUN),
        {**COMMON, "cancel_on_disconnect": True, "stream_mode": ["values", "events"], "last_event_id": "-1"},
    ),
    "runs.list": Method(
        given(thread_id=THREAD),
        {**COMMON, "limit": 1, "offset": 1, "status": "success", "select": ["run_id", "cancel_reason"]},
    ),
    "runs.stream": Method(
        _run,
        {**RUN_WORKS, **STREAMING, "on_disconnect": "continue", "version": "v2"},
        {**RUN_REFUSED, "feedback_keys": (["thumbs"], "feedback_keys")},
    ),
    "runs.wait": Method(_run, {**RUN_WORKS, "on_disconnect": "cancel", "raise_error": False}, RUN_REFUSED),
    "store.delete_item": Method(given(namespace=["sdk"], key="k"), COMMON),
    "store.get_item": Method(given(namespace=["sdk"], key="k"), {**COMMON, "refresh_ttl": False}),
    "store.list_namespaces": Method(
        given(), {**COMMON, "prefix": ["sdk"], "suffix": ["sdk"], "max_depth": 1, "limit": 1, "offset": 1}
    ),
    "store.put_item": Method(
        given(namespace=["sdk"], key="k", value={"v": 1}), {**COMMON, "ttl": 5}, {"index": (["v"], "index")}
    ),
    "store.search_items": Method(
        given(namespace_prefix=["sdk"]),
        {**COMMON, "filter": {"v": 1}, "limit": 1, "offset": 1, "refresh_ttl": False},
        {"query": ("what?", "query")},
    ),
    "crons.count": NotOffered(given(), ("assistant_id", "thread_id", "metadata", "headers", "params")),
    "crons.create": NotOffered(_cron, (*_CRON_FIELDS, "checkpoint_during", "on_run_completed", "multitask_strategy")),
    "crons.create_for_thread": NotOffered(
        given(thread_id=THREAD, assistant_id="road", schedule="0 0 * * *"),
        (*_CRON_FIELDS, "checkpoint_during", "multitask_strategy"),
    ),
    "crons.delete": NotOffered(given(cron_id=FRESH), ("headers", "params")),
    "crons.search": NotOffered(
        given(),
        (
            "assistant_id",
            "thread_id",
            "enabled",
            "metadata",
            "limit",
            "offset",
            "sort_by",
            "sort_order",
            "select",
            "headers",
            "params",
        ),
    ),
    "crons.update": NotOffered(given(cron_id=FRESH), (*_CRON_FIELDS, "schedule", "on_run_completed")),
}
"""By `client.method`."""
