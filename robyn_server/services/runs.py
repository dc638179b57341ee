"""Use cases of runs: ask for one, follow it, cancel it. Workers execute them; nothing here does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import orjson

from robyn_server.core.errors import Conflict, NotFound
from robyn_server.core.ids import new_id
from robyn_server.core.principal import Principal
from robyn_server.core.runs import END, RunEvent
from robyn_server.storage.assistants import ResolvedAssistant
from robyn_server.storage.runs import ONLY_END, FoundRun, NewRun, RunQueue, Runs
from robyn_server.storage.threads import Threads

from .assistants import AssistantService
from .configuration import checked, refuse_catalogue_keys

_BUSY = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run as a client asks for it. `new_thread`: reject or create; a run without a thread gets an ephemeral one."""

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


@dataclass(frozen=True, slots=True)
class StartedRun:
    """`body` is the run as JSON text."""

    run_id: UUID
    thread_id: UUID
    body: str
    resumable: bool


class Follower(Protocol):
    def batches(self) -> AsyncIterator[list[RunEvent]]: ...


class Feed(Protocol):
    def follow(self, run_id: UUID, after: int) -> AbstractContextManager[Follower]: ...


class Wake(Protocol):
    """Tells workers, without waiting."""

    def run_enqueued(self) -> None: ...

    def run_cancelled(self) -> None: ...


class RunService:
    def __init__(
        self,
        runs: Runs,
        queue: RunQueue,
        threads: Threads,
        assistants: AssistantService,
        feed: Feed,
        wake: Wake,
        *,
        max_attempts: int,
    ) -> None:
        self._runs = runs
        self._queue = queue
        self._threads = threads
        self._assistants = assistants
        self._feed = feed
        self._wake = wake
        self._max_attempts = max_attempts

    async def start(self, principal: Principal, thread_id: UUID | None, request: RunRequest) -> StartedRun:
        """Puts the run in the queue. Raises NotFound (assistant, thread), Conflict (busy, or a key of the catalogue), Invalid."""
        assistant = await self._assistants.resolve(principal, request.assistant_id)
        new = self._new_run(principal, thread_id, request, assistant)
        outcome, body = await self._runs.enqueue(principal, new)
        if outcome == "busy":
            raise Conflict(_BUSY, code="thread_busy")
        if body is None:
            raise NotFound("Thread or assistant not found.")
        self._wake.run_enqueued()
        return StartedRun(new.run_id, new.thread_id, body, new.resumable)

    def _new_run(
        self, principal: Principal, thread_id: UUID | None, request: RunRequest, assistant: ResolvedAssistant
    ) -> NewRun:
        config, context = checked(principal, request.config, request.context)
        if assistant.from_catalogue:
            refuse_catalogue_keys(assistant.config.get("configurable", {}), context, "Run")
        run_id = new_id()
        merged_context = assistant.context | (context or {})
        configurable = assistant.config.get("configurable", {}) | (context or {})
        kwargs = {
            "input": request.input,
            "command": request.command,
            "config": _known(assistant.config | (config or {})) | {"configurable": configurable},
            "context": merged_context,
            "stream_mode": list(request.stream_mode),
            "interrupt_before": request.interrupt_before,
            "interrupt_after": request.interrupt_after,
            "webhook": None,
            "feedback_keys": None,
            "temporary": not request.keep_thread,
            "subgraphs": request.subgraphs,
            "resumable": request.resumable,
            "checkpoint_during": request.durability != "exit",
            "durability": request.durability or "async",
            "checkpoint": request.checkpoint,
        }
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
            metadata=request.metadata,
            kwargs=kwargs,
            thread_config=config or {},
            multitask_strategy=request.multitask_strategy,
            resumable=request.resumable,
            after=timedelta(seconds=request.after_seconds),
            max_attempts=self._max_attempts,
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

    async def events(self, run_id: UUID, after: int) -> AsyncIterator[Sequence[RunEvent]]:
        """The run's events after that seq, as they come. Ends when the run's end is committed, without `__end__` itself.

        Only for a run that the caller may see.
        """
        with self._feed.follow(run_id, after) as follower:
            async for batch in follower.batches():
                yield [event for event in batch if event.event != END]

    async def last_seq(self, run_id: UUID) -> int:
        """The newest event's seq; 0 when there is none, also because they were swept."""
        return await self._queue.last_seq(run_id)

    async def place_now(self, run_id: UUID) -> int:
        """Where to go on for somebody who wants only what comes from now on: before the end, if that is there already."""
        return await self._queue.place_now(run_id)

    async def result(self, run_id: UUID) -> bytes:
        """Waits for the run's end. JSON text of its last values, or `{"__error__": …}` when it failed."""
        with self._feed.follow(run_id, ONLY_END) as follower:
            async for batch in follower.batches():
                for event in batch:
                    if event.event == END:
                        return _result(event.data)
        raise AssertionError("a followed run ends with its end")

    async def join(self, principal: Principal, run: FoundRun) -> bytes:
        """As `result`, and for a run that ended long ago the thread's last values."""
        if run.status in ("pending", "running") or await self._queue.last_seq(run.run_id):
            return await self.result(run.run_id)
        thread = orjson.loads(await self._threads.find(principal, run.thread_id) or "{}")
        return _answer(run.status, thread.get("values"), thread.get("error"))

    async def cancel(self, principal: Principal, thread_id: UUID, run_id: UUID, action: str) -> None:
        """Asks for the run's end: at once when it waits, else its worker is told. Raises NotFound when there is nothing to cancel."""
        found = await self._runs.cancel(principal, thread_id, run_id, action)
        if found == "pending":
            if await self._queue.cancel_pending(run_id):
                return self._wake.run_enqueued()  # the thread's next run may have become claimable
            found = await self._runs.cancel(principal, thread_id, run_id, action)  # a worker was quicker
        if found == "missing":
            raise NotFound("No runs found to cancel.")
        if found == "ended":
            raise NotFound(
                "No matching runs to cancel. Please verify the thread ID and run IDs are correct, "
                "and the runs haven't been deleted or completed."
            )
        return self._wake.run_cancelled()


_CONFIG_KEYS = ("tags", "metadata", "run_name", "max_concurrency", "recursion_limit")


def _known(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in _CONFIG_KEYS if key in config}


def _result(data: str) -> bytes:
    end = json.loads(data)  # not orjson, which makes floats of integers over 64 bits
    return _answer(end["status"], end.get("values"), end.get("error"))


def _answer(status: str, values: Any, error: Any) -> bytes:
    if status in ("error", "timeout"):
        return orjson.dumps({"__error__": error or {"error": "RunFailed", "message": f"The run ended in {status}."}})
    return json.dumps({} if values is None else values, ensure_ascii=False, separators=(",", ":")).encode()
