"""Values of the agent registry: instances of agents that run elsewhere, their leases and what happens to them.

Words: a manifest is a type of agent, a configuration one tenant's settings for it, a registration one running instance of it. The
epoch says which of its lives an instance is in: whatever an older connection still sends is answered `superseded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

LARGEST_EPOCH = 2**63 - 1
LONGEST_REASON = 1024
"""Characters of why an instance drains or leaves."""


class RegistrationStatus(StrEnum):
    ACTIVE = "active"
    DRAINING = "draining"
    INACTIVE = "inactive"


class HealthStatus(StrEnum):
    """`STALE` is ours to say: the lease has lapsed."""

    STARTING = "starting"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    STALE = "stale"


READY = (HealthStatus.HEALTHY, HealthStatus.DEGRADED)
"""What may be given work."""


class Outcome(StrEnum):
    """What became of a message about a registration."""

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
    DEREGISTERED = "deregistered"
    DISCONNECTED = "disconnected"
    STALE = "stale"
    REVIVED = "revived"
    INACTIVE = "inactive"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registering:
    """What a process says of itself. `instance_id`: a durable key of the process; `name` None: the agent_id.

    Of the others, what is None stays as a former registration of the instance said.
    """

    agent_id: str
    instance_id: str
    name: str | None = None
    connection_details: Mapping[str, Any] = field(default_factory=dict)
    runtime_config: Mapping[str, Any] = field(default_factory=dict)
    capabilities: tuple[str, ...] | None = None
    version: str | None = None
    agent_type: str | None = None
    zone: str | None = None
    tags: tuple[str, ...] | None = None
    idempotency_key: str | None = None
    health: HealthStatus = HealthStatus.HEALTHY


@dataclass(frozen=True, slots=True)
class Registered:
    """`is_new`: this instance was not known before. Seconds as the server dictates them."""

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
class Beat:
    """A heartbeat. What is None stays as it was."""

    tenant_id: UUID
    registration_id: UUID
    epoch: int
    health: HealthStatus | None = None
    load: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class BeatAnswer:
    """`OK`, `SUPERSEDED` or `MUST_REGISTER`; the seconds mean something only with the first."""

    outcome: Outcome
    heartbeat_interval_seconds: float
    lease_ttl_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChange:
    """What an instance may change of itself while it is registered. None: stays."""

    name: str | None = None
    capabilities: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    zone: str | None = None
    version: str | None = None
    runtime_config: Mapping[str, Any] | None = None
    connection_details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """All that is given must hold. `capabilities` and `tags`: all of them. `version`: a range of comparators, `>=1.2,<2`.

    Neither `status` nor `health`: those that can be given work (active, lease alive, READY). `status` alone: in any health; `health`
    alone: active ones. `free_slots`: at least so many under max_workload.
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
    """One change, in the order in which all watchers see it. `instance`: its public representation at that moment."""

    position: int
    kind: EventKind
    tenant_id: UUID
    agent_id: str
    registration_id: UUID
    instance: Mapping[str, Any]
    at: datetime

    def shown(self) -> dict[str, Any]:
        """As watchers read it, over HTTP and WebSockets."""
        return {
            "position": self.position,
            "kind": self.kind,
            "tenant_id": self.tenant_id,
            "agent_id": self.agent_id,
            "registration_id": self.registration_id,
            "instance": self.instance,
            "at": self.at,
        }
