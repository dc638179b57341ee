"""The options of an agent's jobs, as the config of its assistant holds them. Clients cannot set these keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from robyn_server.core.registry.jobs import JobConditions, JobPolicy, RetryPolicy
from robyn_server.core.registry.version_range import VersionRange, parse_version_range

AGENT_KEY = "agenthall_agent_id"
ORGANIZATION_KEY = "agenthall_organization_id"
JOBS_KEY = "agenthall_jobs"
SCHEMA_KEY = "agenthall_state_schema"
AFFINITY_KEY = "affinity_key"
"""Key of `configurable` that a client may set: runs with one key go to the same instance."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    agent_id: str
    organization_id: UUID
    conditions: JobConditions
    policy: JobPolicy

    @classmethod
    def of(cls, configurable: Mapping[str, Any]) -> AgentOptions:
        jobs: Mapping[str, Any] = configurable.get(JOBS_KEY) or {}
        version = jobs.get("version")
        affinity = configurable.get(AFFINITY_KEY)
        return cls(
            configurable[AGENT_KEY],
            UUID(str(configurable[ORGANIZATION_KEY])),
            JobConditions(
                capabilities=tuple(jobs.get("required_capabilities") or ()),
                tags=tuple(jobs.get("required_tags") or ()),
                version=VersionRange() if version is None else parse_version_range(version),
                zone=jobs.get("zone"),
                affinity_key=None if affinity is None else str(affinity),
            ),
            JobPolicy(
                retry=RetryPolicy(jobs.get("retry", RetryPolicy.IF_SILENT)),
                max_attempts=jobs.get("max_attempts", 3),
                start_within=_duration(jobs.get("schedule_to_start_seconds", 60)),
                run_within=_duration(jobs.get("run_within_seconds")),
            ),
        )


def state_properties(configurable: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of the agent's state schema, by name."""
    properties: Mapping[str, Any] = (configurable.get(SCHEMA_KEY) or {}).get("properties") or {}
    return properties


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
