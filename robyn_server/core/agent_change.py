"""What a sync made of one agent, or would make of it: a line of a dry run, a line of a report."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

RETIRED = "retired"
"""The action beside those of `SyncAction`: the assistant went out of service, because the catalogue does not offer its agent."""


@dataclass(frozen=True, slots=True)
class AgentChange:
    """`action` is created, updated, skipped, failed or retired. `fields`: what differs, where that is known. `reason`: of failed."""

    agent_id: UUID
    action: str
    name: str | None = None
    fields: tuple[str, ...] = ()
    reason: str | None = None
