"""Instances as the registry lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

_TIMES = frozenset({"last_health_check", "lease_expires_at", "registered_at", "connected_at", "updated_at"})
_TUPLES = frozenset({"capabilities", "tags"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """An instance at the moment when the server answered.

    `registration_status`: active, draining or inactive. `health_status`: starting, healthy, degraded, unhealthy or
    stale. `workload`: `load["workload"]` of the last heartbeat that had one. `lease_expires_at` is None once the
    instance has ended. `status_reason`: why it drains or ended. Secrets in `connection_details` and `runtime_config`
    are `[secret]`.
    """

    registration_id: str
    tenant_id: str
    manifest_id: str
    agent_id: str
    instance_id: str
    name: str
    epoch: int
    registration_status: str
    health_status: str
    status_reason: str | None = None
    agent_type: str | None = None
    version: str | None = None
    zone: str | None = None
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    workload: int = 0
    load: Mapping[str, Any]
    metrics: Mapping[str, Any]
    connection_details: Mapping[str, Any]
    runtime_config: Mapping[str, Any]
    registered_by: str | None = None
    registered_at: datetime | None = None
    connected_at: datetime | None = None
    updated_at: datetime | None = None
    last_health_check: datetime | None = None
    lease_expires_at: datetime | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Members that this version does not know are left out. Raises KeyError, ValueError for what is no instance."""
        given = {each.name: value[each.name] for each in fields(cls) if each.name in value}
        for name in _TIMES & given.keys():
            given[name] = None if given[name] is None else datetime.fromisoformat(given[name])
        for name in _TUPLES & given.keys():
            given[name] = tuple(given[name] or ())
        return cls(**given)
