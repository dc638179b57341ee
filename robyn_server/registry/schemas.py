"""Pydantic types of the registry's messages, shared by the HTTP bodies and the WebSocket parameters."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from robyn_server.core.errors import Invalid
from robyn_server.core.json.bounded import JsonObject
from robyn_server.core.registry.instances import (
    MAX_EPOCH,
    MAX_REASON_LENGTH,
    HealthStatus,
    Heartbeat,
    InstanceChange,
    ReportableHealth,
)

MAX_NAME_LENGTH, MAX_SHORT_LENGTH, MAX_STRINGS = 255, 128, 64

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
ShortString = Annotated[str, Field(min_length=1, max_length=MAX_SHORT_LENGTH)]
ShortStrings = Annotated[tuple[ShortString, ...], Field(max_length=MAX_STRINGS, fail_fast=True, strict=False)]
Epoch = Annotated[int, Field(ge=0, le=MAX_EPOCH, strict=True)]
Reason = Annotated[str, Field(max_length=MAX_REASON_LENGTH)]


class InstanceFields(BaseModel):
    """Fields of an instance that can be given at registration and changed later."""

    name: Name | None = None
    capabilities: ShortStrings | None = None
    tags: ShortStrings | None = None
    zone: ShortString | None = None
    version: ShortString | None = None
    runtime_config: JsonObject | None = None
    connection_details: JsonObject | None = None

    @property
    def change(self) -> InstanceChange:
        """Raises Invalid when there is nothing to change."""
        given = self.model_dump(include=set(InstanceFields.model_fields), exclude_none=True)
        if not given:
            raise Invalid(f"Nothing to change: name one of {', '.join(InstanceFields.model_fields)}")
        return InstanceChange(**given)


class HeartbeatFields(BaseModel):
    health: ReportableHealth | None = None
    load: JsonObject | None = None
    metrics: JsonObject | None = None

    def heartbeat(self, organization_id: UUID, registration_id: UUID, epoch: int) -> Heartbeat:
        health = None if self.health is None else HealthStatus(self.health)
        return Heartbeat(organization_id, registration_id, epoch, health, self.load, self.metrics)
