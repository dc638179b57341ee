"""Bodies of /agents/instances. An unknown field is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.core.registry import (
    LARGEST_EPOCH,
    LONGEST_REASON,
    Beat,
    BeatAnswer,
    HealthStatus,
    InstanceChange,
    Registered,
    Registering,
)

from .fields import Body, JsonObject

LONGEST_NAME, LONGEST_WORD, MOST_WORDS = 255, 128, 64

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Word = Annotated[str, Field(min_length=1, max_length=LONGEST_WORD)]
Words = Annotated[tuple[Word, ...], Field(max_length=MOST_WORDS)]
Epoch = Annotated[int, Field(ge=0, le=LARGEST_EPOCH, strict=True)]
Reason = Annotated[str, Field(max_length=LONGEST_REASON)]
Health = Literal["starting", "healthy", "degraded", "unhealthy"]


class ChangeBody(Body):
    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    capabilities: Words | None = None
    tags: Words | None = None
    zone: Word | None = None
    version: Word | None = None
    runtime_config: JsonObject | None = None
    connection_details: JsonObject | None = None


class RegisterBody(ChangeBody):
    agent_id: Word
    instance_id: Name
    agent_type: Word | None = None
    health: Health = "healthy"
    idempotency_key: Name | None = None

    def asked(self, header: str | None) -> Registering:
        """`header`: Idempotency-Key. Raises BadRequest when both are given, and are not the same."""
        return Registering(
            agent_id=self.agent_id,
            instance_id=self.instance_id,
            name=self.name,
            connection_details=self.connection_details or {},
            runtime_config=self.runtime_config or {},
            capabilities=self.capabilities,
            version=self.version,
            agent_type=self.agent_type,
            zone=self.zone,
            tags=self.tags,
            idempotency_key=_one_key(self.idempotency_key, header),
            health=HealthStatus(self.health),
        )


class UpdateBody(ChangeBody):
    epoch: Epoch

    @property
    def change(self) -> InstanceChange:
        """Raises Invalid when there is nothing to change."""
        given = self.model_dump(include=set(ChangeBody.model_fields), exclude_none=True)
        if not given:
            raise Invalid(f"Nothing to change: name one of {', '.join(ChangeBody.model_fields)}")
        return InstanceChange(**given)


class HeartbeatBody(Body):
    model_config = ConfigDict(extra="forbid")

    epoch: Epoch
    health: Health | None = None
    load: JsonObject | None = None
    metrics: JsonObject | None = None

    def beat(self, tenant: UUID, registration_id: UUID) -> Beat:
        health = None if self.health is None else HealthStatus(self.health)
        return Beat(tenant, registration_id, self.epoch, health, self.load, self.metrics)


class LeavingBody(Body):
    model_config = ConfigDict(extra="forbid")

    epoch: Epoch
    reason: Reason | None = None


def _one_key(field: str | None, header: str | None) -> str | None:
    if field is not None and header and field != header:
        raise BadRequest(
            "Idempotency-Key and idempotency_key are not the same; send one of them.",
            code="idempotency_key_contradicts",
            field="idempotency_key",
        )
    return field or header or None


def rendered(registered: Registered) -> dict[str, Any]:
    return {
        "registration_id": str(registered.registration_id),
        "manifest_id": str(registered.manifest_id),
        "config_id": str(registered.config_id),
        "instance_id": registered.instance_id,
        "epoch": registered.epoch,
        "is_new": registered.is_new,
        "message": registered.message,
        "lease_ttl_seconds": registered.lease_ttl_seconds,
        "heartbeat_interval_seconds": registered.heartbeat_interval_seconds,
    }


def rendered_beat(beat: Beat, answer: BeatAnswer) -> dict[str, Any]:
    return {
        "registration_id": str(beat.registration_id),
        "epoch": beat.epoch,
        "heartbeat_interval_seconds": answer.heartbeat_interval_seconds,
        "lease_ttl_seconds": answer.lease_ttl_seconds,
    }
