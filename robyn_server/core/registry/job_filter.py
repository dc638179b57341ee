"""Conditions on jobs in a list."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from .jobs import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """All that are given must match."""

    agent_id: str | None = None
    state: JobState | None = None
    thread_id: UUID | None = None
    run_id: UUID | None = None
    registration_id: UUID | None = None
    """Of the instance that has the job, or had it last."""

    def given(self) -> dict[str, Any]:
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}
