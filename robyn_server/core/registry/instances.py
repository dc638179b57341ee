"""Values of the agent registry: instances of agents that run elsewhere, their leases and their events.

A manifest is a type of agent, a configuration holds one organization's settings for it, a registration is one running
instance of it. Each registration of the same instance gets a higher epoch. Messages with an older epoch are answered
`superseded`.

Sections: states, messages of an instance, search, events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

INSTANCES_GRAPH = "instances"
"""Id of the built-in graph that gives the runs of an agent to its instances. No other graph and no agent has it."""

MAX_EPOCH = 2**63 - 1
MAX_REASON_LENGTH = 1024
"""Characters of the reason for a drain, a cordon or a deregistration."""

MAX_IDENTITY_LENGTH = 255
"""Characters of an identity that are stored with what it did."""


class RegistrationStatus(StrEnum):
    ACTIVE = "active"
    DRAINING = "draining"
    INACTIVE = "inactive"


class HealthStatus(StrEnum):
    """`STALE` is set by the server when the lease has lapsed."""

    STARTING = "starting"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    STALE = "stale"


ReportableHealth = Literal["starting", "healthy", "degraded", "unhealthy"]
"""The values that an instance may report, as a type for schemas."""

REPORTABLE_HEALTHS = tuple(each for each in HealthStatus if each is not HealthStatus.STALE)

ROUTABLE_HEALTHS = (HealthStatus.HEALTHY, HealthStatus.DEGRADED)
"""Health of instances that can be given work."""


class Outcome(StrEnum):
    """The result of a message about a registration.

    `MUST_REGISTER`: the registration has ended, or never had the message's epoch. `UNKNOWN`: the organization never had
    it.
    """

    OK = "ok"
    SUPERSEDED = "superseded"
    MUST_REGISTER = "must_register"
    UNKNOWN = "unknown"


class EventKind(StrEnum):
    REGISTERED = "registered"
    RECONNECTED = "reconnected"
    UPDATED = "updated"
    HEALTH = "health"
    DRAINING = "draining"
    CORDONED = "cordoned"
    UNCORDONED = "uncordoned"
    DEREGISTERED = "deregistered"
    DISCONNECTED = "disconnected"
    STALE = "stale"
    REVIVED = "revived"
    INACTIVE = "inactive"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """The fields of a registration.

    `instance_id` is a durable key of the process. A field that is None keeps the value of the instance's previous
    registration; of a new instance, the name is the agent_id. `connection_defaults`: members of connection_details that
    the server adds. `drain_reason`: the instance drains from the start, for this reason.
    """

    agent_id: str
    instance_id: str
    name: str | None = None
    connection_details: Mapping[str, Any] | None = None
    runtime_config: Mapping[str, Any] | None = None
    connection_defaults: Mapping[str, Any] | None = None
    capabilities: tuple[str, ...] | None = None
    version: str | None = None
    agent_type: str | None = None
    zone: str | None = None
    tags: tuple[str, ...] | None = None
    idempotency_key: str | None = None
    health: HealthStatus = HealthStatus.HEALTHY
    drain_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """The result of a registration. `is_new`: the instance was not known before."""

    registration_id: UUID
    manifest_id: UUID
    config_id: UUID
    instance_id: str
    is_new: bool
    message: str
    epoch: int
    lease_ttl_seconds: float
    heartbeat_interval_seconds: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A heartbeat. Fields that are None keep their value."""

    tenant_id: UUID
    registration_id: UUID
    epoch: int
    health: HealthStatus | None = None
    load: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    """`outcome` is OK, SUPERSEDED or MUST_REGISTER. The other fields are meaningful with OK only.

    `enabled`: whether the configuration is. `cordoned`: whether operators keep the instance from work.
    """

    outcome: Outcome
    heartbeat_interval_seconds: float
    lease_ttl_seconds: float
    enabled: bool = True
    cordoned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChange:
    """Fields that an instance may change while it is registered. Fields that are None keep their value."""

    name: str | None = None
    capabilities: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    zone: str | None = None
    version: str | None = None
    runtime_config: Mapping[str, Any] | None = None
    connection_details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """Conditions on instances; all that are given must match.

    - capabilities, tags: an instance must have all of them.
    - version: a range of comparators, such as `>=1.2,<2`.
    - status, health: without both, instances match that can be given work (active, with a live lease, in
      ROUTABLE_HEALTHS, not cordoned, of an enabled configuration). With `status` alone, any health matches, and
      cordoned and disabled ones, too. With `health` alone, active instances match that can be given work but for their
      health; STALE matches instances whose lease has lapsed and that have not ended. INACTIVE matches both stale and
      ended ones.
    - free_slots: the least number of further runs up to max_workload.
    """

    agent_id: str | None = None
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    zone: str | None = None
    health: HealthStatus | None = None
    version: str | None = None
    free_slots: int | None = None
    status: RegistrationStatus | None = None


@dataclass(frozen=True, slots=True)
class InstanceEvent:
    """One change.

    All watchers see changes in the order of `position`. `instance` is its public representation at that time.
    """

    position: int
    kind: EventKind
    tenant_id: UUID
    agent_id: str
    registration_id: UUID
    instance: Mapping[str, Any]
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """The event as it is sent over HTTP and WebSockets."""
        return {
            "position": self.position,
            "kind": self.kind,
            "tenant_id": self.tenant_id,
            "agent_id": self.agent_id,
            "registration_id": self.registration_id,
            "instance": self.instance,
            "at": self.at,
        }
