"""The request for a sync, and its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from robyn_server.core.catalogue.agent_change import AgentChange


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """`scope` in the grammar of AGENT_SYNC_SCOPE (None: the server's own), or one agent.

    `dry_run` writes nothing at all.
    """

    scope: str | None = None
    agent_id: UUID | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class SyncReport:
    """`counters`: {total, created, updated, skipped, failed, retired}. `changes`: without the skipped ones, at most
    `CHANGES`; `more` are not listed. `started_at`: the server database's clock. `by_source`: the counters of each of
    AGENT_SYNC_SOURCES."""

    scope: str
    agent_id: UUID | None
    dry_run: bool
    started_at: datetime
    seconds: float
    counters: dict[str, int]
    changes: list[AgentChange]
    more: int
    by_source: dict[str, dict[str, int]] = field(default_factory=dict)


CHANGES = 1000
"""Changes in one report. The counters count all; `GET /agents/sync` pages through all failures."""
