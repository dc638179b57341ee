"""Bodies of /assistants."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robyn_server.core.json.bounded import Identifier, JsonObject, Listed, Name, Text
from robyn_server.services.assistants.service import AssistantRequest
from robyn_server.storage.assistants import AssistantChange, AssistantFilter

from .fields import AssistantId, Body, ConfigBody, IfExists, Limit, Offset, SortOrder

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
    graph_id: Identifier
    assistant_id: AssistantId | None = None
    config: ConfigBody | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    if_exists: IfExists | None = None
    name: Name | None = None
    description: Text | None = None

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
    graph_id: Identifier | None = None
    config: ConfigBody | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    name: Name | None = None
    description: Text | None = None

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


class VersionSearch(Body):
    metadata: JsonObject | None = None
    limit: Limit = 10
    offset: Offset = 0


class LatestVersion(Body):
    version: Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]


class AssistantCount(Body):
    metadata: JsonObject | None = None
    graph_id: Name | None = None
    name: Name | None = None

    def where(self) -> AssistantFilter:
        return AssistantFilter(None if self.graph_id is None else [self.graph_id], self.metadata, self.name)


class AssistantSearch(AssistantCount):
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"] | None = None
    sort_order: SortOrder | None = None
    select: Listed[AssistantField] | None = None
