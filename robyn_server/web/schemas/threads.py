"""Bodies of /threads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from robyn_server.core.json.bounded import MAX_ITEMS, JsonList, JsonObject, Listed, Name, StringMap
from robyn_server.core.threads.extract_path import parse_extract
from robyn_server.core.ttl import PruneStrategy, ThreadTtl, check_ttl
from robyn_server.graphs.state_updates import NodeUpdate
from robyn_server.storage.threads import ThreadFilter

from .fields import Body, CheckpointId, CommandBody, IfExists, Limit, Offset, Part, SortOrder, ThreadId

LARGEST_HISTORY = 100
"""States of one answer. Each may be as large as AGENTHALL_MAX_STATE_BYTES."""


def _with_a_word(text: str) -> str:
    if re.search(r"\w", text) is None:
        raise ValueError("has no word to search for")
    return text


SearchText = Annotated[str, Field(max_length=1000, json_schema_extra={"pattern": r"\w"}), AfterValidator(_with_a_word)]
"""Words of messages: at least one."""

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


class Ttl(Part):
    """A lifetime in minutes. A number alone is short for one with the strategy `delete`."""

    ttl: Annotated[float, Field(strict=True)]
    strategy: PruneStrategy = PruneStrategy.DELETE

    @model_validator(mode="before")
    @classmethod
    def _from_minutes(cls, value: Any) -> Any:
        return {"ttl": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    def checked(self) -> ThreadTtl:
        """Raises Invalid."""
        lifetime = check_ttl(self.ttl)
        assert lifetime is not None  # noqa: S101 - it is None only without minutes
        return ThreadTtl(lifetime, self.strategy)


class SuperstepUpdate(Part):
    as_node: Name
    values: JsonObject | JsonList | None = None
    command: CommandBody | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.command is not None and self.values is not None:
            raise ValueError("values and command: name one of them")
        if self.command is not None and self.command.resume is not None:
            raise ValueError("command.resume: there is no interrupt to resume; use update and goto")
        return self

    def update(self) -> NodeUpdate:
        command = None if self.command is None else self.command.model_dump(exclude_none=True)
        return NodeUpdate(self.as_node, self.values, command)


class Superstep(Part):
    updates: Annotated[list[SuperstepUpdate], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]


class ThreadCreate(Body):
    thread_id: ThreadId | None = None
    metadata: JsonObject | None = None
    if_exists: IfExists | None = None
    ttl: Ttl | None = None
    supersteps: Listed[Superstep] | None = None

    def steps(self) -> list[list[NodeUpdate]]:
        return [[each.update() for each in step.updates] for step in self.supersteps or ()]

    def lifetime(self) -> ThreadTtl | None:
        """Raises Invalid."""
        return None if self.ttl is None else self.ttl.checked()


class ThreadPatch(Body):
    metadata: JsonObject | None = None
    ttl: Ttl | None = None

    def lifetime(self) -> ThreadTtl | None:
        """Raises Invalid."""
        return None if self.ttl is None else self.ttl.checked()


class ThreadSearch(Body):
    ids: Listed[ThreadId] | None = None
    metadata: JsonObject | None = None
    values: JsonObject | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    text: SearchText | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: SortOrder | None = None
    select: Listed[ThreadField] | None = None
    extract: StringMap | None = None

    def where(self) -> ThreadFilter:
        return ThreadFilter(self.ids, self.metadata or None, self.values or None, self.status, self.text)

    def extracts(self) -> dict[str, Sequence[str]] | None:
        """Raises Invalid."""
        return None if self.extract is None else parse_extract(self.extract)


class ThreadPrune(Body):
    thread_ids: Listed[ThreadId]
    strategy: PruneStrategy = PruneStrategy.DELETE


class ThreadCount(Body):
    metadata: JsonObject | None = None
    values: JsonObject | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    text: SearchText | None = None

    def where(self) -> ThreadFilter:
        return ThreadFilter(None, self.metadata or None, self.values or None, self.status, self.text)


class Checkpoint(Part):
    thread_id: Name | None = None
    checkpoint_ns: Name = ""
    checkpoint_id: CheckpointId | None = None
    checkpoint_map: StringMap | None = None


class StateAtCheckpoint(Body):
    checkpoint: Checkpoint
    subgraphs: bool = False
    select: Listed[Name] | None = None


class StateUpdate(Body):
    """`checkpoint_id` is how older SDKs name the checkpoint."""

    values: JsonObject | JsonList | None = None
    as_node: Name | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: CheckpointId | None = None

    def chosen(self) -> dict[str, Any] | None:
        if self.checkpoint is not None:
            return self.checkpoint.model_dump(exclude_none=True)
        return None if self.checkpoint_id is None else {"checkpoint_id": self.checkpoint_id}


class HistoryQuery(Body):
    """`before` is a checkpoint, or its id, which the SDK sends."""

    limit: Annotated[int, Field(ge=1, le=LARGEST_HISTORY, strict=True)] = 1
    before: Checkpoint | None = None
    metadata: JsonObject | None = None
    checkpoint: Checkpoint | None = None
    select: Listed[Name] | None = None

    @field_validator("before", mode="before")
    @classmethod
    def _id_or_checkpoint(cls, value: Any) -> Any:
        return {"checkpoint_id": value} if isinstance(value, str) else value

    def before_checkpoint(self) -> dict[str, Any] | None:
        return None if self.before is None else self.before.model_dump(exclude_none=True)
