"""Executes one claimed run and emits its events.

Rules
  1. A repeated run goes on from its last checkpoint. Its input is given again only when it has no checkpoint.
  2. The mode `values` is always streamed, requested or not: its last value is the result of the run.
  3. A stateless run whose thread is deleted with it has no checkpointer. Every other run has a saver of its own.
  4. A graph's store is the server's, and has what the run's owner put.
  5. An exception of the graph ends the run, never the worker: its name and text are reported, its traceback is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from langgraph._internal._constants import CONFIG_KEY_STRICT_RESUME
from langgraph.errors import UnknownInterruptError
from langgraph.types import Command

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.access.server_keys import without_server_keys
from robyn_server.core.access.users import user_of
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun, RunEnd, RunStatus, ThreadStatus
from robyn_server.tracing.langsmith.feedback import feedback_urls

from .checkpoints.config import ensure_checkpoint
from .checkpoints.serialization import ValuesSerializer, dumps
from .commands import command_of
from .errors import ReportedError, StateTooLarge
from .finished_tasks import keep_finished_tasks
from .loading.contexts import context_for
from .loading.factories import run_runtime
from .open_interrupts import has_interrupts, with_earlier_interrupts, without_interrupts
from .streams.debug_events import checkpoint_event, debug_event
from .streams.graph_events import EVENTS, GraphEvent, graph_events
from .streams.messages import MessageStream
from .tracebacks import describe, is_of_the_server, own_frames, own_traceback

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.pregel import Pregel
    from langgraph.store.base import BaseStore

    from .checkpoints.saver import Checkpoints
    from .loading.served_graphs import Graphs

Emit: TypeAlias = Callable[[str, bytes], Awaitable[None]]
"""Takes an event's name and its data, JSON text."""

_LANGGRAPH_VERSION = version("langgraph")
_MODES = {"messages-tuple": "messages"}
_SHOWN: dict[str, Callable[[Any], Any]] = {"checkpoints": checkpoint_event, "debug": debug_event}
_LONGEST_MESSAGE = 10_000
_RUN_FAILED = {
    "error": "RunFailed",
    "message": "The server's database refused or lost a statement of this run. The server's log says which.",
}
"""Characters of an exception's text. That of a validation may repeat its input many times."""


class StopReason(StrEnum):
    """Why a task that executes a run is cancelled on purpose."""

    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"
    TIMEOUT = "timeout"


@dataclass(slots=True)
class Stop:
    """Set before the executing task is cancelled, so that the cancellation ends the run."""

    reason: StopReason | None = None


async def execute(
    run: ClaimedRun,
    graphs: Graphs,
    checkpoints: Checkpoints,
    store: BaseStore,
    emit: Emit,
    stop: Stop,
    callbacks: Sequence[BaseCallbackHandler] = (),
) -> RunEnd:
    """Execute the run and return its end. An exception of the graph is an end; a cancellation is raised unless `stop`
    has a reason.

    `callbacks`: LangChain's, told of the steps of the graph.
    """
    execution = _Execution(run, emit, callbacks)
    try:
        return await execution.run(graphs, checkpoints, store)
    except asyncio.CancelledError:
        if stop.reason is None:
            raise
        return await execution.stopped(stop.reason)
    except Exception as error:  # noqa: BLE001 - rule 5: a graph may raise anything
        return await execution.failed(error)


def run_config(run: ClaimedRun) -> RunnableConfig:
    """The config that the run's graph is built and run with."""
    given: dict[str, Any] = run.kwargs.get("config") or {}
    names = {
        "run_id": str(run.run_id),
        "thread_id": str(run.thread_id),
        "graph_id": run.graph_id,
        "assistant_id": str(run.assistant_id),
        "user_id": run.owner_id,
        "langgraph_auth_user_id": run.owner_id,
    }
    checkpoint = {key: value for key, value in (run.kwargs.get("checkpoint") or {}).items() if key != "thread_id"}
    strict = {CONFIG_KEY_STRICT_RESUME: True} if run.kwargs.get("strict_resume") else {}
    own = {"run_attempt": run.attempt, "langgraph_version": _LANGGRAPH_VERSION}
    metadata = without_server_keys(given.get("metadata") or {}) | without_server_keys(run.metadata) | names | own
    wanted: dict[str, Any] = given.get("configurable") or {}
    configurable = wanted | checkpoint | names | _user_keys(run) | _label_of_user(run, wanted) | strict
    return {**given, "configurable": configurable, "metadata": metadata}  # type: ignore[typeddict-item]


def root_id(run: ClaimedRun) -> UUID:
    """LangChain's id of the graph's run: that of the run.

    A repeated attempt has another: LangSmith takes each id once.
    """
    return run.run_id if run.attempt <= 1 else new_id()


def _user_keys(run: ClaimedRun) -> dict[str, Any]:
    """The user that a project's handler authenticated. Never in the metadata, which is stored with each checkpoint."""
    user = user_of(run.auth)
    return {} if user is None else {"langgraph_auth_user": user, "langgraph_auth_permissions": user.permissions}


def _label_of_user(run: ClaimedRun, configurable: Mapping[str, Any]) -> dict[str, Any]:
    """The `user_id` that the client gave, where nobody was authenticated whose identity it could pretend to be."""
    is_local = run.auth is None and run.owner_id == LOCAL.identity
    return {"user_id": configurable["user_id"]} if is_local and "user_id" in configurable else {}


class _Execution:
    def __init__(self, run: ClaimedRun, emit: Emit, callbacks: Sequence[BaseCallbackHandler]) -> None:
        self._run = run
        self._emit = emit
        self._kwargs = run.kwargs
        self._config = run_config(run)
        self._invocation: RunnableConfig = {**self._config, "run_id": root_id(run), "callbacks": list(callbacks)}
        self._stream_modes: list[str] = run.kwargs["stream_mode"]
        self._subgraphs = bool(run.kwargs.get("subgraphs"))
        self._messages = MessageStream()
        self._values: Any = None
        self._serializer = ValuesSerializer()
        self._max_bytes = 0
        self._graphs: Graphs | None = None
        self._notices: list[Any] = []

    async def run(self, graphs: Graphs, checkpoints: Checkpoints, store: BaseStore) -> RunEnd:
        self._graphs = graphs
        self._max_bytes = checkpoints.max_state_bytes
        saver = checkpoints.saver() if self._run.keep_thread else None
        runtime = run_runtime(store, self._kwargs.get("context"), user_of(self._run.auth))
        async with graphs.opened(self._run.graph_id, self._config, runtime) as graph:
            return await self._stream(graph, saver, store)

    async def _stream(
        self, graph: Pregel[Any, Any, Any, Any], saver: BaseCheckpointSaver[Any] | None, store: BaseStore
    ) -> RunEnd:
        self._notices = list(getattr(graph, "notices", ()))
        options = self._options(graph)
        # Otherwise LangGraph yields a step's updates after it has committed the step's checkpoint. A run that is
        # cancelled between the two resumes behind the step, and nobody ever gets the updates.
        eager = options["durability"] == "sync"
        graph = graph.copy({"checkpointer": saver, "store": store, "stream_eager": graph.stream_eager or eager})
        await ensure_checkpoint(saver, self._run.thread_id, self._kwargs.get("checkpoint"))
        given = await self._input(saver)
        if saver is not None and self._begins_anew(given) and getattr(graph, "keeps_finished_tasks", False):
            await keep_finished_tasks(graph, saver, self._run.thread_id)
        try:
            await self._run_graph(graph, given, options)
        except UnknownInterruptError as error:
            return await self._refused(graph, error)
        await self._offer_feedback()
        return await self._ended(graph, saver)

    async def _run_graph(self, graph: Pregel[Any, Any, Any, Any], given: Any, options: dict[str, Any]) -> None:
        if EVENTS in self._stream_modes:
            named: RunnableConfig = {"run_name": self._run.graph_id, **self._invocation}
            await self._forward_events(graph_events(graph, given, named, self._run.run_id, options))
        else:
            async for item in graph.astream(given, self._invocation, **options):
                await self._forward(item)

    async def _offer_feedback(self) -> None:
        keys = self._kwargs.get("feedback_keys") or ()
        if keys and (urls := await feedback_urls(self._run.run_id, keys)):
            await self._emit("feedback", dumps(urls))

    async def _refused(self, graph: Pregel[Any, Any, Any, Any], error: UnknownInterruptError) -> RunEnd:
        """The end of a strict resume that answers no open interrupt. The thread's state stays as it was."""
        body = {"error": type(error).__name__, "message": str(error)}
        await self._emit("error", dumps(body))
        interrupts = await self._interrupts(graph)
        status = ThreadStatus.IDLE if interrupts is None else ThreadStatus.INTERRUPTED
        return self._end(RunStatus.ERROR, status, None, error=body, interrupts=interrupts or {})

    async def _forward_events(self, events: AsyncIterator[GraphEvent]) -> None:
        serializer = ValuesSerializer()
        async with aclosing(events):  # type: ignore[type-var]
            async for item, event in events:
                if event is None:
                    await self._forward(item)
                else:
                    await self._emit(EVENTS, await serializer.dumps(event))

    async def failed(self, error: Exception) -> RunEnd:
        body = _error_body(error)
        await self._emit("error", dumps(body))
        values = await self._last_values()
        shown = describe(error) if is_of_the_server(error) else None
        if shown is None and not isinstance(error, ReportedError):
            shown = own_traceback(error)
        frames = own_frames(error)
        return self._end(RunStatus.ERROR, ThreadStatus.ERROR, values, error=body, traceback=shown, frames=frames)

    async def stopped(self, reason: StopReason) -> RunEnd:
        if reason is StopReason.ROLLBACK:  # the database deletes the run, whatever its end
            body = {"error": "UserRollback", "message": reason.value}
            return self._end(RunStatus.INTERRUPTED, ThreadStatus.IDLE, None, error=body)
        values = await self._last_values()
        if reason is StopReason.TIMEOUT:
            body = {"error": "RunTimeout", "message": "The run took longer than AGENTHALL_RUN_TIMEOUT allows."}
            return self._end(RunStatus.TIMEOUT, ThreadStatus.ERROR, values, error=body)
        body = {"error": "UserInterrupt", "message": reason.value}
        return self._end(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED, values, error=body)

    def _end(self, status: RunStatus, thread_status: ThreadStatus, values: bytes | None, **more: Any) -> RunEnd:
        return RunEnd(
            status,
            thread_status,
            values,
            metadata=self._metadata(),
            tool_calls=_count_tool_calls(self._values),
            **more,
        )

    def _options(self, graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any]:
        modes = {_MODES.get(mode, mode) for mode in self._stream_modes if mode != EVENTS} | {"values"}
        return {
            "context": context_for(graph.context_schema, self._kwargs.get("context") or {}),
            "stream_mode": sorted(modes),
            "interrupt_before": self._kwargs.get("interrupt_before"),
            "interrupt_after": self._kwargs.get("interrupt_after"),
            "durability": (self._kwargs.get("durability") or "async") if self._run.keep_thread else None,
            "subgraphs": self._subgraphs,
        }

    async def _input(self, saver: BaseCheckpointSaver[Any] | None) -> Any:
        if self._run.attempt > 1 and saver is not None and await self._has_checkpoint(saver):
            return None
        command = self._kwargs.get("command")
        return command_of(command) if command is not None else self._kwargs.get("input")

    def _begins_anew(self, given: Any) -> bool:
        """Whether LangGraph drops the tasks that an earlier run left at the thread's latest checkpoint."""
        return given is not None and not isinstance(given, Command) and not self._kwargs.get("checkpoint")

    async def _has_checkpoint(self, saver: BaseCheckpointSaver[Any]) -> bool:
        latest = await saver.aget_tuple({"configurable": {"thread_id": str(self._run.thread_id), "checkpoint_ns": ""}})
        return latest is not None and latest.metadata.get("run_id") == str(self._run.run_id)

    async def _forward(self, item: Any) -> None:
        namespace, mode, chunk = item if self._subgraphs else ((), *item)
        if mode == "values" and not namespace:
            self._values = with_earlier_interrupts(chunk, self._values)
        suffix = "|" + "|".join(namespace) if namespace else ""
        if mode != "messages":
            if mode in self._stream_modes:
                shown = _SHOWN[mode](chunk) if mode in _SHOWN else chunk
                text = await self._serializer.dumps(shown) if mode == "values" else dumps(shown)
                await self._emit(mode + suffix, text)
            return
        if "messages-tuple" in self._stream_modes:
            await self._emit("messages" + suffix, dumps(chunk))
        if "messages" in self._stream_modes:
            for name, payload in self._messages.events(*chunk):
                await self._emit(name, dumps(payload))  # without the suffix, as LangGraph's server names them

    async def _ended(self, graph: Pregel[Any, Any, Any, Any], saver: BaseCheckpointSaver[Any] | None) -> RunEnd:
        interrupts = await self._interrupts(graph) if saver is not None and self._may_be_interrupted(graph) else None
        thread_status = ThreadStatus.IDLE if interrupts is None else ThreadStatus.INTERRUPTED
        values = await self._final_values()
        more = {"interrupts": interrupts or {}, "thread_values": await self._thread_values()}
        return self._end(RunStatus.SUCCESS, thread_status, values, **more)

    async def _thread_values(self) -> bytes | None:
        return await self._serializer.dumps(without_interrupts(self._values)) if has_interrupts(self._values) else None

    def _may_be_interrupted(self, graph: Pregel[Any, Any, Any, Any]) -> bool:
        requested = self._kwargs.get("interrupt_before") or self._kwargs.get("interrupt_after")
        built_in = graph.interrupt_before_nodes or graph.interrupt_after_nodes
        return bool(requested or built_in or has_interrupts(self._values))

    async def _interrupts(self, graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any] | None:
        """The open interrupts by task; None when the graph has finished."""
        where: RunnableConfig = {"configurable": {"thread_id": str(self._run.thread_id)}}
        state = await graph.aget_state(where)
        if not state.next:
            return None
        return {
            task.id: [{"id": each.id, "value": each.value} for each in task.interrupts]
            for task in state.tasks
            if task.interrupts
        }

    async def _final_values(self) -> bytes | None:
        """Raises StateTooLarge. A run with a checkpointer was checked at each checkpoint."""
        text = await self._values_json()
        if text is not None and len(text) > self._max_bytes and not self._run.keep_thread:
            raise StateTooLarge(self._max_bytes)
        return text

    async def _last_values(self) -> bytes | None:
        """The values of a run that failed; None when they are too large to keep."""
        text = await self._values_json()
        return text if text is not None and len(text) <= self._max_bytes else None

    async def _values_json(self) -> bytes | None:
        return None if self._values is None else await self._serializer.dumps(self._values)

    def _metadata(self) -> dict[str, Any]:
        messages = self._values.get("messages") if isinstance(self._values, dict) else None
        during = self._graphs.notices_in(self._run.graph_id, messages) if self._graphs and messages else []
        notices = self._notices + [each for each in during if each not in self._notices]
        return {"agenthall_notices": notices} if notices else {}


def _error_body(error: Exception) -> dict[str, Any]:
    """The error as clients get it."""
    if isinstance(error, ReportedError):
        return {**error.body, "message": error.body["message"][:_LONGEST_MESSAGE]}
    if is_of_the_server(error):
        return dict(_RUN_FAILED)
    return {"error": type(error).__name__, "message": str(error)[:_LONGEST_MESSAGE]}


def _count_tool_calls(values: Any) -> int:
    """Results of tools since the last human message of `values`; 0 for values without messages."""
    messages = values.get("messages") if isinstance(values, dict) else None
    count = 0
    for message in reversed(messages if isinstance(messages, list) else []):
        kind = getattr(message, "type", None)
        if kind == "human":
            break
        count += kind == "tool"
    return count
