"""The effect of a sync on one agent: a line of a report, or of a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

RETIRED = "retired"
"""An action beside those of `SyncAction`: the assistant was taken out of service, because the catalogue does not offer
its agent."""


@dataclass(frozen=True, slots=True)
class AgentChange:
    """`action` is created, updated, skipped, failed or retired.

    `fields`: those that differ, where known. `reason`: why it failed.
    """

    agent_id: UUID
    action: str
    name: str | None = None
    fields: tuple[str, ...] = ()
    reason: str | None = None
