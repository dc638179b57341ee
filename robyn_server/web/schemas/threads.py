"""Bodies of /threads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from robyn_server.storage.threads import ThreadFilter

from .fields import Body, CheckpointId, IfExists, JsonObject, Limit, Offset, Part, SortOrder, ThreadId, refuse

ThreadField = Literal[
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "status",
    "config",
    "values",
    "error",
    "interrupts",
]


class ThreadCreate(Body):
    thread_id: ThreadId | None = None
    metadata: JsonObject | None = None
    if_exists: IfExists | None = None
    ttl: JsonObject | None = None
    supersteps: list[JsonObject] | None = None

    def refuse_unbuilt(self) -> None:
        refuse("ttl", self.ttl)
        refuse("supersteps", self.supersteps)


class ThreadPatch(Body):
    metadata: JsonObject | None = None
    ttl: JsonObject | None = None

    def refuse_unbuilt(self) -> None:
        refuse("ttl", self.ttl)


class ThreadSearch(Body):
    ids: list[ThreadId] | None = None
    metadata: JsonObject | None = None
    values: JsonObject | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: SortOrder | None = None
    select: list[ThreadField] | None = None
    extract: JsonObject | None = None

    def where(self) -> ThreadFilter:
        return ThreadFilter(self.ids, self.metadata or None, self.values or None, self.status)

    def refuse_unbuilt(self) -> None:
        refuse("extract", self.extract)


class Checkpoint(Part):
    thread_id: str | None = None
    checkpoint_ns: str = ""
    checkpoint_id: CheckpointId | None = None
    checkpoint_map: dict[str, Any] | None = None


class StateAtCheckpoint(Body):
    checkpoint: Checkpoint
    subgraphs: bool = False


class HistoryQuery(Body):
    """`before` is a checkpoint, or the id of one (which is what the SDK sends)."""

    limit: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    before: Checkpoint | None = None
    metadata: JsonObject | None = None
    checkpoint: Checkpoint | None = None

    @field_validator("before", mode="before")
    @classmethod
    def _id_or_checkpoint(cls, value: Any) -> Any:
        return {"checkpoint_id": value} if isinstance(value, str) else value

    def before_checkpoint(self) -> dict[str, Any] | None:
        return None if self.before is None else self.before.model_dump(exclude_none=True)
