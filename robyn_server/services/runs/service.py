"""Use cases of runs: start, follow, join and cancel. Workers execute them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from robyn_server.core.access.principal import Principal
from robyn_server.core.access.server_keys import without_internal_keys, without_server_keys
from robyn_server.core.errors import Conflict, NotFound
from robyn_server.core.ids import new_id
from robyn_server.core.json import exact_json
from robyn_server.core.runs import END, EventTransport, RunEvent
from robyn_server.core.trace_context import TraceContext
from robyn_server.credentials.caller_tokens import CallerTokens
from robyn_server.run_events.feeds import RunEventFeeds
from robyn_server.services.assistants.called_agents import sync_called_agents
from robyn_server.services.assistants.service import AssistantService
from robyn_server.services.models import AllowedModels
from robyn_server.services.run_config import refuse_catalogue_keys, validate
from robyn_server.storage.assistants import ResolvedAssistant
from robyn_server.storage.postgres.notify import RUNS, Notifier
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.runs.runs import CANCELLED, FoundRun, NewRun, Runs
from robyn_server.storage.threads import Threads

if TYPE_CHECKING:
    from robyn_server.tracing.queue_spans import EnqueueSpans

_BUSY = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request for a run. `new_thread`: reject or create; a run without a thread gets an ephemeral one.

    `keys`: what the caller's headers add to `configurable`.
    """

    assistant_id: str
    input: Any = None
    command: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] | None = None
    stream_mode: tuple[str, ...] = ("values",)
    subgraphs: bool = False
    resumable: bool = False
    interrupt_before: str | list[str] | None = None
    interrupt_after: str | list[str] | None = None
    durability: str | None = None
    multitask_strategy: str = "enqueue"
    new_thread: str = "reject"
    keep_thread: bool = True
    after_seconds: float = 0
    on_disconnect: str = "continue"
    strict_resume: bool = False
    langsmith_tracer: dict[str, str] | None = None
    feedback_keys: Sequence[str] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartedRun:
    """`body` is the run as JSON text."""

    run_id: UUID
    thread_id: UUID
    body: str
    resumable: bool
    event_transport: EventTransport


class RunService:
    def __init__(
        self,
        runs: Runs,
        queue: RunQueue,
        threads: Threads,
        assistants: AssistantService,
        models: AllowedModels,
        events: RunEventFeeds,
        notifier: Notifier,
        *,
        max_attempts: int,
        spans: EnqueueSpans | None = None,
        caller_tokens: CallerTokens | None = None,
    ) -> None:
        self._runs = runs
        self._queue = queue
        self._threads = threads
        self._assistants = assistants
        self._models = models
        self._events = events
        self._notifier = notifier
        self._max_attempts = max_attempts
        self._spans = spans
        self._caller_tokens = caller_tokens

    async def start(self, principal: Principal, thread_id: UUID | None, request: RunRequest) -> StartedRun:
        """Enqueue a run.

        Raises NotFound (assistant, thread), Conflict (busy, or a key of the catalogue), Forbidden, Invalid.
        """
        assistant = await self._resolve(principal, request)
        new = await self._with_credential(principal, self._new_run(principal, thread_id, request, assistant))
        with self._enqueuing(new) as trace:
            outcome, body = await self._runs.enqueue(principal, _traced(new, trace))
        if outcome == "busy":
            raise Conflict(_BUSY, code="thread_busy")
        if body is None:
            raise NotFound("Thread or assistant not found.")
        self._notifier.notify(RUNS, ["", "cancel"] if request.multitask_strategy in _STOPPING else [""])
        return StartedRun(new.run_id, new.thread_id, body, new.resumable, new.event_transport)

    async def start_batch(self, principal: Principal, requests: Sequence[RunRequest]) -> Sequence[str]:
        """Enqueue runs without a thread, all or none, and return them as JSON text. Raises as `start` does."""
        batch = [
            await self._with_credential(principal, self._new_run(principal, None, each, assistant))
            for each, assistant in [(each, await self._resolve(principal, each)) for each in requests]
        ]
        with self._enqueuing(*batch) as trace:
            bodies = await self._runs.enqueue_batch(principal, [_traced(each, trace) for each in batch])
        self._notifier.notify(RUNS)
        return bodies

    async def _resolve(self, principal: Principal, request: RunRequest) -> ResolvedAssistant:
        assistant = await self._assistants.resolve(principal, request.assistant_id)
        principal.require_assistant(assistant.assistant_id, assistant.template_id)
        await sync_called_agents(self._assistants, principal, assistant)
        return assistant

    async def _with_credential(self, principal: Principal, new: NewRun) -> NewRun:
        """The run with the caller's token, if it has an MCP server that gets it. Raises Unavailable."""
        if self._caller_tokens is None or principal.token is None:
            return new
        configurable = new.kwargs["config"]["configurable"]
        sealed = await self._caller_tokens.seal(principal, new.run_id, configurable)
        return new if sealed is None else replace(new, credential=sealed)

    def _enqueuing(self, *batch: NewRun) -> AbstractContextManager[TraceContext | None]:
        """The span in which runs are enqueued, if it is traced."""
        if self._spans is None:
            return contextlib.nullcontext()
        thread_id = batch[0].thread_id if len(batch) == 1 else None
        return self._spans.enqueue(batch[0].graph_id, [each.run_id for each in batch], thread_id)

    def _new_run(
        self, principal: Principal, thread_id: UUID | None, request: RunRequest, assistant: ResolvedAssistant
    ) -> NewRun:
        config, context = validate(principal, request.config, request.context)
        self._assistants.check_configuration(assistant.graph_id, context)
        if assistant.origin.is_synced:
            refuse_catalogue_keys(assistant.config.get("configurable", {}), context, "Run")
        configurable = assistant.config.get("configurable", {}) | (config or {}).get("configurable", {})
        self._models.check(principal, configurable, assistant.config.get("configurable"))
        run_id = new_id()
        merged_context = assistant.context | (context or {})
        kwargs = {
            "input": request.input,
            "command": request.command,
            "config": _known(assistant.config | (config or {})) | {"configurable": configurable | request.keys},
            "context": merged_context,
            "stream_mode": list(request.stream_mode),
            "interrupt_before": request.interrupt_before,
            "interrupt_after": request.interrupt_after,
            "webhook": None,
            "feedback_keys": list(request.feedback_keys) or None,
            "temporary": not request.keep_thread,
            "subgraphs": request.subgraphs,
            "resumable": request.resumable,
            "checkpoint_during": request.durability != "exit",
            "durability": request.durability or "async",
            "checkpoint": request.checkpoint,
        } | _given(
            strict_resume=request.strict_resume,
            langsmith_tracer=request.langsmith_tracer,
            bound_assistants=sorted(map(str, principal.assistants or ())),
        )
        stateless = thread_id is None
        creates = stateless or request.new_thread == "create"
        return NewRun(
            run_id=run_id,
            thread_id=thread_id or new_id(),
            new_thread="ephemeral" if stateless else request.new_thread,
            keep_thread=request.keep_thread,
            organization_id=principal.organization_for_new() if creates else None,
            assistant_id=assistant.assistant_id,
            assistant_version=assistant.version,
            graph_id=assistant.graph_id,
            assistant_metadata=assistant.metadata,
            metadata=without_server_keys(request.metadata),
            kwargs=kwargs,
            thread_config={"configurable": {}} | (config or {}),
            multitask_strategy=request.multitask_strategy,
            resumable=request.resumable,
            after=timedelta(seconds=request.after_seconds),
            max_attempts=self._max_attempts,
            # as LangGraph's server does, so that a handler's filter finds the thread
            event_transport=self._events.transport_for_new,
            new_metadata=without_internal_keys(request.metadata) if creates and principal.grants is not None else {},
        )

    async def get(self, principal: Principal, thread_id: UUID, run_id: UUID) -> str:
        body = await self._runs.find(principal, thread_id, run_id)
        if body is None:
            await self._check_thread(principal, thread_id)
            raise NotFound("Not Found")
        return body

    async def list(self, principal: Principal, thread_id: UUID, **page: Any) -> str:
        await self._check_thread(principal, thread_id)
        return await self._runs.list(principal, thread_id, **page)

    async def _check_thread(self, principal: Principal, thread_id: UUID) -> None:
        if await self._threads.find(principal, thread_id) is None:
            raise NotFound(f"Thread with ID {thread_id} not found")

    async def find(self, principal: Principal, thread_id: UUID | None, run_id: UUID) -> FoundRun:
        """The run to follow. Raises NotFound."""
        found = await self._runs.find_to_follow(principal, thread_id, run_id)
        if found is None:
            raise NotFound("Run not found")
        return found

    def check_readable(self, run: FoundRun) -> None:
        """Raises Unavailable where this process cannot read the run's events."""
        self._events.check_readable(run.event_transport)

    async def events(self, run: StartedRun | FoundRun, after: int) -> AsyncIterator[Sequence[RunEvent]]:
        """Yield the events of the run after that seq. Ends when the end of the run is committed, without `__end__`
        itself.

        The caller has checked access to the run. Raises Unavailable where its events cannot be read.
        """
        with self._events.subscribe(run.run_id, after, run.event_transport) as subscription:
            async for batch in subscription.batches():
                yield [event for event in batch if event.event != END]

    async def last_seq(self, run_id: UUID) -> int:
        """The seq of the newest event; 0 without events, or after they were swept."""
        return await self._queue.last_seq(run_id)

    async def last_seq_before_end(self, run: FoundRun) -> int:
        """The seq from which a reader gets only new events; before the end, when the run has ended.

        Raises Unavailable.
        """
        return await self._events.last_seq_before_end(run.run_id, run.event_transport)

    async def result(self, run_id: UUID) -> bytes:
        """Wait for the end of the run. Return its last values as JSON text, or `{"__error__": …}` when it failed."""
        with self._events.subscribe_to_end(run_id) as subscription:
            async for batch in subscription.batches():
                for event in batch:
                    if event.event == END:
                        return await _off_loop(_result, event.data)
        raise AssertionError("a subscription ends with the end of its run")

    async def join(self, principal: Principal, run: FoundRun) -> bytes:
        """As `result`; for a run whose events were swept, the last values of its thread."""
        if run.status in ("pending", "running") or await self._queue.last_seq(run.run_id):
            return await self.result(run.run_id)
        return await _off_loop(_last_answer, await self._threads.find(principal, run.thread_id) or "{}", run.status)

    async def cancel(
        self, principal: Principal, thread_id: UUID, run_id: UUID, action: str, reason: str = CANCELLED
    ) -> None:
        """Cancel a run: at once when it is pending, else through its worker. Raises NotFound when there is nothing to
        cancel.

        `action`: interrupt keeps its checkpoints, rollback deletes the run with them.
        """
        found = await self._runs.cancel(principal, thread_id, run_id, action, reason)
        if found == "pending":
            if await self._queue.cancel_pending(run_id, action, reason):
                return self._notifier.notify(RUNS)  # the thread's next run may have become claimable
            found = await self._runs.cancel(principal, thread_id, run_id, action, reason)  # a worker has claimed it
        if found == "missing":
            raise NotFound("No runs found to cancel.")
        if found == "ended":
            raise NotFound(
                "No matching runs to cancel. Please verify the thread ID and run IDs are correct, "
                "and the runs haven't been deleted or completed."
            )
        return self._notifier.notify(RUNS, ["cancel"])

    async def cancel_named(self, principal: Principal, thread_id: UUID, run_ids: Sequence[UUID], action: str) -> None:
        """Cancel those of the thread's runs that have not ended. Raises NotFound when there is none."""
        await self._cancel_all(principal, [(thread_id, run_id) for run_id in run_ids], action)

    async def cancel_by_status(self, principal: Principal, statuses: Sequence[str], action: str) -> None:
        """Cancel all of the principal's own runs that are `pending` or `running`.

        Raises NotFound when there is none.
        """
        found = list[tuple[UUID, UUID]]()
        for status in statuses:
            page, after = None, UUID(int=0)
            while page is None or len(page) == _PAGE:
                page = await self._runs.list_active(principal, status, after, _PAGE)
                found += page
                after = page[-1][1] if page else after
        await self._cancel_all(principal, found, action)

    async def _cancel_all(self, principal: Principal, runs: Sequence[tuple[UUID, UUID]], action: str) -> None:
        cancelled = 0
        for thread_id, run_id in runs:
            with contextlib.suppress(NotFound):  # it has ended, or was deleted
                await self.cancel(principal, thread_id, run_id, action)
                cancelled += 1
        if not cancelled:
            raise NotFound("No runs found to cancel.")

    async def delete(self, principal: Principal, thread_id: UUID, run_id: UUID) -> None:
        """Delete a run. One that has not ended is cancelled. The thread's state stays. Raises NotFound."""
        if not await self._runs.delete(principal, thread_id, run_id):
            raise NotFound("Run not found")
        self._notifier.notify(RUNS, ["", "cancel"])


_PAGE = 500
_STOPPING = ("interrupt", "rollback")
"""Multitask strategies that stop the thread's open runs."""
_LARGE = 32_768
_CONFIG_KEYS = ("tags", "metadata", "run_name", "max_concurrency", "recursion_limit")


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments of a run that it has only if they were given."""
    return {name: value for name, value in arguments.items() if value}


def _traced(new: NewRun, trace: TraceContext | None) -> NewRun:
    return new if trace is None else replace(new, trace=trace)


def _known(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in _CONFIG_KEYS if key in config}


async def _off_loop(render: Callable[..., bytes], text: str, *arguments: str) -> bytes:
    """Render JSON text, in a thread when it is large."""
    if len(text) <= _LARGE:
        return render(text, *arguments)
    return await asyncio.to_thread(render, text, *arguments)


def _last_answer(thread: str, status: str) -> bytes:
    last = exact_json.loads(thread)
    return _answer(status, last.get("values"), last.get("error"))


def _result(data: str) -> bytes:
    end = json.loads(data)  # orjson turns integers over 64 bits into floats
    return _answer(end["status"], end.get("values"), end.get("error"))


def _answer(status: str, values: Any, error: Any) -> bytes:
    if status in ("error", "timeout"):
        return orjson.dumps({"__error__": error or {"error": "RunFailed", "message": f"The run ended in {status}."}})
    return json.dumps({} if values is None else values, ensure_ascii=False, separators=(",", ":")).encode()
