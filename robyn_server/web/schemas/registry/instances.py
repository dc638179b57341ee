"""Bodies of /agents/instances. Unknown fields are refused by name."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, model_validator

from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.core.registry.instances import (
    HealthStatus,
    Heartbeat,
    HeartbeatResult,
    Registration,
    RegistrationRequest,
    ReportableHealth,
)
from robyn_server.registry.jobs.schemas import JobIds, NamedJobs, Slots
from robyn_server.registry.schemas import Epoch, HeartbeatFields, InstanceFields, Name, Reason, ShortString
from robyn_server.web.schemas.fields import Body


class StrictBody(Body):
    model_config = ConfigDict(extra="forbid")


class RegisterBody(InstanceFields, StrictBody):
    """`slots`: how many jobs the instance takes at a time; unset: none. `jobs`: those that it still has.

    `drain_reason`: the instance drains from the start.
    """

    agent_id: ShortString
    instance_id: Name
    agent_type: ShortString | None = None
    health: ReportableHealth = "healthy"
    idempotency_key: Name | None = None
    slots: Slots | None = None
    jobs: JobIds | None = None
    drain_reason: Reason | None = None

    @model_validator(mode="after")
    def _jobs_need_slots(self) -> RegisterBody:
        if self.jobs and self.slots is None:
            raise Invalid("slots: must be named with jobs", field="slots")
        return self

    def to_request(self, header: str | None) -> RegistrationRequest:
        """`header`: Idempotency-Key. Raises BadRequest when it contradicts the field."""
        return RegistrationRequest(
            agent_id=self.agent_id,
            instance_id=self.instance_id,
            name=self.name,
            connection_details=self.connection_details,
            runtime_config=self.runtime_config,
            capabilities=self.capabilities,
            version=self.version,
            agent_type=self.agent_type,
            zone=self.zone,
            tags=self.tags,
            idempotency_key=_idempotency_key(self.idempotency_key, header),
            health=HealthStatus(self.health),
            drain_reason=self.drain_reason,
        )


class UpdateBody(InstanceFields, StrictBody):
    epoch: Epoch


class _EpochBody(StrictBody):
    epoch: Epoch


class HeartbeatBody(HeartbeatFields, _EpochBody):
    """`jobs`: those whose leases are extended."""

    jobs: NamedJobs | None = None


class LeavingBody(_EpochBody):
    """Of a drain or a deregistration."""

    reason: Reason | None = None


class CordonBody(StrictBody):
    reason: Reason | None = None


def _idempotency_key(field: str | None, header: str | None) -> str | None:
    if field is not None and header and field != header:
        raise BadRequest(
            "Idempotency-Key and idempotency_key are not the same; send one of them.",
            code="idempotency_key_contradicts",
            field="idempotency_key",
        )
    return field or header or None


def render_registration(registration: Registration) -> dict[str, Any]:
    return {
        "registration_id": str(registration.registration_id),
        "manifest_id": str(registration.manifest_id),
        "config_id": str(registration.config_id),
        "instance_id": registration.instance_id,
        "epoch": registration.epoch,
        "is_new": registration.is_new,
        "message": registration.message,
        "lease_ttl_seconds": registration.lease_ttl_seconds,
        "heartbeat_interval_seconds": registration.heartbeat_interval_seconds,
    }


def render_heartbeat(heartbeat: Heartbeat, result: HeartbeatResult) -> dict[str, Any]:
    return {
        "registration_id": str(heartbeat.registration_id),
        "epoch": heartbeat.epoch,
        "heartbeat_interval_seconds": result.heartbeat_interval_seconds,
        "lease_ttl_seconds": result.lease_ttl_seconds,
        "enabled": result.enabled,
        "cordoned": result.cordoned,
    }
