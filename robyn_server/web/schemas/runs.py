"""Bodies of /runs and /threads/{thread_id}/runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, RootModel, field_validator

from robyn_server.core.errors import FieldNotOffered, Invalid
from robyn_server.core.json.bounded import Identifier, JsonObject, Listed, Name
from robyn_server.core.langsmith import is_langsmith_on
from robyn_server.services.runs.service import RunRequest

from .fields import Body, CheckpointId, CommandBody, ConfigBody, Part, RunId, ThreadId, refuse
from .threads import Checkpoint

StreamMode = Literal[
    "values", "messages", "messages-tuple", "tasks", "checkpoints", "updates", "events", "debug", "custom"
]
_LONGEST_DELAY = 366 * 86400


class LangSmithTracer(Part):
    """The project that the run's tree belongs to, and the example of a dataset that it is an attempt at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project_name: Identifier | None = None
    example_id: UUID | None = None

    def given(self) -> dict[str, str]:
        return self.model_dump(mode="json", exclude_none=True)


class RunCreateStateless(Body):
    assistant_id: Identifier
    input: Any = None
    command: CommandBody | None = None
    metadata: JsonObject | None = None
    config: ConfigBody | None = None
    context: JsonObject | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: CheckpointId | None = None
    interrupt_before: Literal["*"] | Listed[Name] | None = None
    interrupt_after: Literal["*"] | Listed[Name] | None = None
    webhook: Annotated[str, Field(min_length=1, max_length=65536)] | None = None
    stream_mode: StreamMode | Listed[StreamMode] | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    on_completion: Literal["delete", "keep"] | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    after_seconds: Annotated[float, Field(ge=0, le=_LONGEST_DELAY)] | None = None
    feedback_keys: Listed[Name] | None = None
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: bool | None = None
    langsmith_tracer: LangSmithTracer | None = None
    strict_resume: bool | None = None

    @field_validator("stream_mode", mode="before")
    @classmethod
    def _none_is_default(cls, value: Any) -> Any:
        return None if value == [] else value

    def request(self) -> RunRequest:
        """Raises FieldNotOffered for a field that is not built yet, Invalid for a checkpoint of no thread."""
        self.refuse_unbuilt()
        if (named := self._checkpoint()) is not None:
            field = "checkpoint" if self.checkpoint is not None else "checkpoint_id"
            raise Invalid(f"{field}: A run without a thread has no checkpoint {named} to start from.", field=field)
        return RunRequest(**self._common(), keep_thread=self.on_completion == "keep")

    def refuse_unbuilt(self) -> None:
        refuse("webhook", self.webhook)
        for name in ("langsmith_tracer", "feedback_keys"):
            if getattr(self, name) and not is_langsmith_on():
                raise FieldNotOffered(f"'{name}' needs LANGSMITH_TRACING=true in the server's environment.", field=name)

    def _modes(self) -> tuple[str, ...]:
        modes = ["values"] if self.stream_mode is None else self.stream_mode
        return tuple(dict.fromkeys([modes] if isinstance(modes, str) else modes))

    def _durability(self) -> str | None:
        if self.durability is None and self.checkpoint_during is not None:
            return "async" if self.checkpoint_during else "exit"
        return self.durability

    def _checkpoint(self) -> dict[str, Any] | None:
        if self.checkpoint is not None:
            return self.checkpoint.model_dump(exclude_none=True)
        return {"checkpoint_id": self.checkpoint_id} if self.checkpoint_id else None

    def _common(self) -> dict[str, Any]:
        return {
            "assistant_id": self.assistant_id,
            "input": self.input,
            "command": None if self.command is None else self.command.model_dump(exclude_unset=True),
            "config": None if self.config is None else self.config.given(),
            "context": self.context,
            "metadata": self.metadata or {},
            "stream_mode": self._modes(),
            "subgraphs": bool(self.stream_subgraphs),
            "resumable": bool(self.stream_resumable),
            "interrupt_before": self.interrupt_before,
            "interrupt_after": self.interrupt_after,
            "durability": self._durability(),
            "after_seconds": self.after_seconds or 0,
            "on_disconnect": self.on_disconnect or "continue",
            "strict_resume": bool(self.strict_resume),
            "feedback_keys": tuple(dict.fromkeys(self.feedback_keys or ())),
            "langsmith_tracer": None if self.langsmith_tracer is None else self.langsmith_tracer.given(),
        }


class RunBatch(RootModel[Annotated[list[RunCreateStateless], Field(min_length=1, max_length=100, fail_fast=True)]]):
    """Runs without a thread."""

    def requests(self) -> list[RunRequest]:
        return [each.request() for each in self.root]


class RunsCancel(Body):
    """Either runs of one thread, or all of the caller's that have a status."""

    thread_id: ThreadId | None = None
    run_ids: Listed[RunId] | None = None
    status: Literal["pending", "running", "all"] | None = None

    def check(self) -> None:
        """Raises Invalid."""
        named = self.thread_id is not None and bool(self.run_ids)
        if named == (self.status is not None) or (not named and (self.thread_id or self.run_ids)):
            raise Invalid("Give either thread_id with run_ids, or status.", field="status" if named else "thread_id")

    @property
    def statuses(self) -> tuple[str, ...]:
        return ("pending", "running") if self.status == "all" else (self.status or "",)


class RunCreateStateful(RunCreateStateless):
    multitask_strategy: Literal["reject", "rollback", "interrupt", "enqueue"] | None = None
    if_not_exists: Literal["create", "reject"] | None = None

    def request(self) -> RunRequest:
        """Raises FieldNotOffered for a field that is not built yet, Invalid for a thread that should be deleted."""
        self.refuse_unbuilt()
        if self.on_completion == "delete":
            raise Invalid("on_completion: Only a run without a thread deletes its thread.", field="on_completion")
        return RunRequest(
            **self._common(),
            checkpoint=self._checkpoint(),
            multitask_strategy=self.multitask_strategy or "enqueue",
            new_thread=self.if_not_exists or "reject",
        )
