"""Executes one claimed run and says what happens, event by event.

Rules
  1. A run that was tried before goes on from its last checkpoint: its input is given again only when no checkpoint of it exists.
  2. `values` is always followed, whether or not the caller asked for it: the last one is the run's result.
  3. A stateless run whose thread goes with it has no checkpointer. Every other one has a saver of its own.
  4. An exception of the graph is the run's end, never the worker's: its name and text are told, its trace is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from langgraph.types import Command, Send

from robyn_server.core.runs import ClaimedRun, RunEnd, RunStatus, ThreadStatus

from .messages import MessageStream
from .wire import dumps

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.pregel import Pregel

    from .checkpoints import Checkpoints
    from .loading import Graphs

Emit: TypeAlias = Callable[[str, bytes], Awaitable[None]]
"""Takes an event's name and its data, JSON text."""

_LANGGRAPH_VERSION = version("langgraph")
_MODES = {"messages-tuple": "messages"}
_INTERRUPT = "__interrupt__"
_log = structlog.get_logger(__name__)


class StopReason(StrEnum):
    """Why a task that executes a run is cancelled on purpose."""

    INTERRUPT = "interrupt"
    TIMEOUT = "timeout"


@dataclass(slots=True)
class Stop:
    """Set before the executing task is cancelled: then the cancellation is the run's end and not the worker's."""

    reason: StopReason | None = None


async def execute(run: ClaimedRun, graphs: Graphs, checkpoints: Checkpoints, emit: Emit, stop: Stop) -> RunEnd:
    """Runs it to its end. Whatever the graph raises becomes the end; a cancellation passes through unless `stop` has a reason."""
    execution = _Execution(run, emit)
    try:
        return await execution.run(graphs, checkpoints)
    except asyncio.CancelledError:
        if stop.reason is None:
            raise
        return execution.stopped(stop.reason)
    except Exception as error:  # noqa: BLE001 - rule 4: a graph may raise anything
        _log.warning("run failed", run_id=str(run.run_id), graph_id=run.graph_id, exc_info=error)
        return await execution.failed(error)


def config_of(run: ClaimedRun) -> RunnableConfig:
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
    own = {"run_attempt": run.attempt, "langgraph_version": _LANGGRAPH_VERSION}
    metadata = (given.get("metadata") or {}) | run.metadata | own
    configurable = (given.get("configurable") or {}) | checkpoint | names
    return {**given, "configurable": configurable, "metadata": metadata}  # type: ignore[typeddict-item]


class _Execution:
    def __init__(self, run: ClaimedRun, emit: Emit) -> None:
        self._run = run
        self._emit = emit
        self._kwargs = run.kwargs
        self._config = config_of(run)
        self._asked: list[str] = run.kwargs["stream_mode"]
        self._subgraphs = bool(run.kwargs.get("subgraphs"))
        self._messages = MessageStream()
        self._values: Any = None
        self._graphs: Graphs | None = None
        self._notices: list[Any] = []

    async def run(self, graphs: Graphs, checkpoints: Checkpoints) -> RunEnd:
        self._graphs = graphs
        saver = checkpoints.saver() if self._run.keep_thread else None
        graph = await graphs.build(self._run.graph_id, self._config)
        self._notices = list(getattr(graph, "notices", ()))
        graph = graph.copy({"checkpointer": saver})
        given = await self._input(saver)
        async for item in graph.astream(given, self._config, **self._options()):
            await self._forward(item)
        return await self._ended(graph, saver)

    async def failed(self, error: Exception) -> RunEnd:
        told = {"error": type(error).__name__, "message": str(error)}
        await self._emit("error", dumps(told))
        return RunEnd(RunStatus.ERROR, ThreadStatus.ERROR, self._values_json(), error=told, metadata=self._metadata())

    def stopped(self, reason: StopReason) -> RunEnd:
        if reason is StopReason.TIMEOUT:
            told = {"error": "RunTimeout", "message": "The run took longer than AGENTHALL_RUN_TIMEOUT allows."}
            return RunEnd(
                RunStatus.TIMEOUT, ThreadStatus.ERROR, self._values_json(), error=told, metadata=self._metadata()
            )
        told = {"error": "UserInterrupt", "message": reason.value}
        return RunEnd(
            RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED, self._values_json(), error=told, metadata=self._metadata()
        )

    def _options(self) -> dict[str, Any]:
        modes = {_MODES.get(mode, mode) for mode in self._asked} | {"values"}
        return {
            "context": self._kwargs.get("context") or None,
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
        return _command(command) if command is not None else self._kwargs.get("input")

    async def _has_checkpoint(self, saver: BaseCheckpointSaver[Any]) -> bool:
        latest = await saver.aget_tuple({"configurable": {"thread_id": str(self._run.thread_id), "checkpoint_ns": ""}})
        return latest is not None and latest.metadata.get("run_id") == str(self._run.run_id)

    async def _forward(self, item: Any) -> None:
        namespace, mode, chunk = item if self._subgraphs else ((), *item)
        if mode == "values" and not namespace:
            self._values = chunk
        suffix = "|" + "|".join(namespace) if namespace else ""
        if mode != "messages":
            if mode in self._asked:
                await self._emit(mode + suffix, dumps(chunk))
            return
        if "messages-tuple" in self._asked:
            await self._emit("messages" + suffix, dumps(chunk))
        if "messages" in self._asked:
            for name, payload in self._messages.events(*chunk):
                await self._emit(name + suffix, dumps(payload))

    async def _ended(self, graph: Pregel[Any, Any, Any, Any], saver: BaseCheckpointSaver[Any] | None) -> RunEnd:
        interrupts = await self._interrupts(graph) if saver is not None and self._may_be_interrupted(graph) else None
        return RunEnd(
            RunStatus.SUCCESS,
            ThreadStatus.IDLE if interrupts is None else ThreadStatus.INTERRUPTED,
            self._values_json(),
            interrupts=interrupts or {},
            metadata=self._metadata(),
        )

    def _may_be_interrupted(self, graph: Pregel[Any, Any, Any, Any]) -> bool:
        asked = self._kwargs.get("interrupt_before") or self._kwargs.get("interrupt_after")
        built_in = graph.interrupt_before_nodes or graph.interrupt_after_nodes
        return bool(asked or built_in or (isinstance(self._values, dict) and _INTERRUPT in self._values))

    async def _interrupts(self, graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any] | None:
        """The open interrupts by task, or None when nothing is left to do."""
        where: RunnableConfig = {"configurable": {"thread_id": str(self._run.thread_id)}}
        state = await graph.aget_state(where)
        if not state.next:
            return None
        return {
            task.id: [{"id": each.id, "value": each.value} for each in task.interrupts]
            for task in state.tasks
            if task.interrupts
        }

    def _values_json(self) -> bytes | None:
        values = self._values
        return None if values is None else dumps(values)

    def _metadata(self) -> dict[str, Any]:
        messages = self._values.get("messages") if isinstance(self._values, dict) else None
        during = self._graphs.notices_in(self._run.graph_id, messages) if self._graphs and messages else []
        notices = self._notices + [each for each in during if each not in self._notices]
        return {"agenthall_notices": notices} if notices else {}


def _command(given: dict[str, Any]) -> Command[Any]:
    goto = given.get("goto") or ()
    targets = [goto] if isinstance(goto, str | dict) else list(goto)
    return Command(
        update=given.get("update"),
        resume=given.get("resume"),
        goto=[Send(each["node"], each.get("input")) if isinstance(each, dict) else each for each in targets],
    )
