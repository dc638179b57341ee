"""Body and response of /agents/sync."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, StrictBool

from robyn_server.agent_sync.reports import SyncReport, SyncRequest
from robyn_server.core.catalogue.agent_change import AgentChange
from robyn_server.core.ids import parse_uuid
from robyn_server.core.json.bounded import Text

from .fields import Body

AgentId = Annotated[UUID, BeforeValidator(lambda value: None if value is None else parse_uuid(value, "agent ID"))]


class AgentSyncBody(Body):
    """Unknown fields are refused: a misspelt `dry_run` must not start a sync."""

    model_config = ConfigDict(extra="forbid")

    scope: Text | None = None
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
        "changes": [_line(change, has_values=report.agent_id is not None) for change in report.changes],
        "changes_not_listed": report.more,
    }


def _line(change: AgentChange, *, has_values: bool) -> dict[str, Any]:
    """The values are those of one agent: in a report of a scope they could be of any size."""
    values = {"before": change.before, "after": change.after} if has_values and change.after is not None else {}
    return {
        "agent_id": str(change.agent_id),
        "action": change.action,
        "name": change.name,
        "fields": change.fields,
        "reason": change.reason,
        **values,
    }
