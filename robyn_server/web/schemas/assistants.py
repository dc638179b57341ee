"""Bodies of /assistants."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robyn_server.services.assistants import AssistantRequest
from robyn_server.storage.assistants import AssistantChange, AssistantFilter

from .fields import AssistantId, Body, ConfigBody, IfExists, JsonObject, Limit, Offset, SortOrder

AssistantField = Literal[
    "assistant_id",
    "graph_id",
    "config",
    "context",
    "metadata",
    "name",
    "created_at",
    "updated_at",
    "version",
    "description",
]


class AssistantCreate(Body):
    graph_id: Annotated[str, Field(min_length=1)]
    assistant_id: AssistantId | None = None
    config: ConfigBody | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    if_exists: IfExists | None = None
    name: str | None = None
    description: str | None = None

    def request(self) -> AssistantRequest:
        return AssistantRequest(
            graph_id=self.graph_id,
            assistant_id=self.assistant_id,
            name=self.name or "Untitled",
            description=self.description,
            config=None if self.config is None else self.config.given(),
            context=self.context,
            metadata=self.metadata,
            if_exists=self.if_exists or "raise",
        )


class AssistantPatch(Body):
    graph_id: Annotated[str, Field(min_length=1)] | None = None
    config: ConfigBody | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    name: str | None = None
    description: str | None = None

    def change(self) -> AssistantChange:
        return AssistantChange(
            graph_id=self.graph_id,
            name=self.name,
            description=self.description,
            sets_description="description" in self.model_fields_set,
            config=None if self.config is None else self.config.given(),
            context=self.context,
            metadata=self.metadata,
        )


class AssistantSearch(Body):
    metadata: JsonObject | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"] | None = None
    sort_order: SortOrder | None = None
    select: list[AssistantField] | None = None

    def where(self) -> AssistantFilter:
        return AssistantFilter(self.metadata, self.graph_id, self.name)
