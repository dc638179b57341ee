"""Bodies and queries of /agents/instances. An unknown field is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.core.ids import find_uuid
from robyn_server.core.registry import (
    Beat,
    BeatAnswer,
    HealthStatus,
    InstanceChange,
    InstanceFilter,
    Registered,
    Registering,
    RegistrationStatus,
)
from robyn_server.web.http import Query

from .fields import Body, JsonObject

PAGE, LARGEST_PAGE = 50, 100
LONGEST_CURSOR = 255
_LARGEST_EPOCH = 2**63 - 1
_MOST_WORDS = 64

Name = Annotated[str, Field(min_length=1, max_length=255)]
Word = Annotated[str, Field(min_length=1, max_length=128)]
Words = Annotated[tuple[Word, ...], Field(max_length=_MOST_WORDS)]
Epoch = Annotated[int, Field(ge=0, le=_LARGEST_EPOCH, strict=True)]
Reason = Annotated[str, Field(max_length=1024)]
Health = Literal["starting", "healthy", "degraded", "unhealthy"]

PARAMETERS = (
    "agent_id",
    "capability",
    "tag",
    "zone",
    "health",
    "status",
    "version",
    "free_slots",
    "limit",
    "cursor",
)


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


def leaving_of(query: Query) -> LeavingBody:
    """From `?epoch=…&reason=…`, for a DELETE without a body. Raises Invalid."""
    query.ensure_known(tuple(LeavingBody.model_fields))
    epoch = query.integer("epoch", None, 0, _LARGEST_EPOCH)
    if epoch is None:
        raise Invalid("epoch: Field required", field="epoch")
    return LeavingBody(epoch=epoch, reason=(query.get("reason") or "")[:1024] or None)


def filter_of(query: Query) -> InstanceFilter:
    """Raises Invalid, BadRequest naming the parameter."""
    query.ensure_known(PARAMETERS)
    health, status = query.get("health"), query.get("status")
    return InstanceFilter(
        agent_id=query.get("agent_id"),
        capabilities=_words(query, "capability"),
        tags=_words(query, "tag"),
        zone=query.get("zone"),
        health=None if health is None else _one_of(HealthStatus, health, "health"),
        version=query.get("version"),
        free_slots=query.integer("free_slots", None, 0, 2**31 - 1),
        status=None if status is None else _one_of(RegistrationStatus, status, "status"),
    )


def _words(query: Query, name: str) -> tuple[str, ...]:
    words = tuple(query.get_all(name))
    if len(words) > _MOST_WORDS:
        raise Invalid(f"{name}: at most {_MOST_WORDS}", field=name)
    return words


def _one_of(kind: Any, text: str, name: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise Invalid(f"{name}: must be one of {', '.join(kind)}", field=name) from None


def limit_of(query: Query) -> int:
    return query.integer("limit", PAGE, 1, LARGEST_PAGE) or PAGE


def cursor_of(query: Query) -> UUID | None:
    text = query.get("cursor")
    cursor = find_uuid(text) if text else None
    if text and cursor is None:
        raise Invalid("cursor: must be the next_cursor of a page", field="cursor")
    return cursor


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
