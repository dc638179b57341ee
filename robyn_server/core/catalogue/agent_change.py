"""The effect of a sync on one agent: a line of a report, or of a dry run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

RETIRED = "retired"
"""An action beside those of `SyncAction`: the assistant was taken out of service, because the catalogue does not offer
its agent."""


@dataclass(frozen=True, slots=True)
class AgentChange:
    """`action` is created, updated, skipped, failed or retired.

    `fields`: those that differ, where known. `reason`: why it failed. `before` and `after`: what the catalogue owns of
    the assistant, in a dry run of one agent; `before` is None for one that would be created.
    """

    agent_id: UUID
    action: str
    name: str | None = None
    fields: tuple[str, ...] = ()
    reason: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
