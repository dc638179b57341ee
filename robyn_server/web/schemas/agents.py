"""Body of /agents/sync, and its answer."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, StrictBool

from robyn_server.core.agent_change import AgentChange
from robyn_server.core.ids import parse_uuid
from robyn_server.services.agent_sync import SyncReport, SyncRequest

from .fields import Body

AgentId = Annotated[UUID, BeforeValidator(lambda value: None if value is None else parse_uuid(value, "agent ID"))]


class AgentSyncBody(Body):
    """An unknown field is refused: a `dry_run` that is misspelt must not become a sync."""

    model_config = ConfigDict(extra="forbid")

    scope: str | None = None
    agent_id: AgentId | None = None
    dry_run: StrictBool = False

    def request(self) -> SyncRequest:
        return SyncRequest(self.scope, self.agent_id, self.dry_run)


def rendered(report: SyncReport) -> dict[str, Any]:
    return {
        "scope": report.scope,
        "agent_id": report.agent_id,
        "dry_run": report.dry_run,
        "at": report.started_at,
        "seconds": round(report.seconds, 3),
        "counters": report.counters,
        "sources": report.by_source,
        "changes": [_line(change) for change in report.changes],
        "changes_not_listed": report.more,
    }


def _line(change: AgentChange) -> dict[str, Any]:
    return {
        "agent_id": str(change.agent_id),
        "action": change.action,
        "name": change.name,
        "fields": change.fields,
        "reason": change.reason,
    }
