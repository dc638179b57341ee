"""The query of GET /audit."""

from __future__ import annotations

from robyn_server.core.ids import parse_uuid
from robyn_server.storage.audit_log import AuditFilter
from robyn_server.web.http.messages import Query
from robyn_server.web.http.parameters import Parameter

from .queries import AGENT_PAGE, moment_of

RESOURCE_TYPES = ("assistant", "thread", "api_key", "manifest", "configuration", "instance", "brake", "job", "erasure")
_MAX_LENGTH = 1024

AUDIT = (
    *AGENT_PAGE,
    Parameter("organization_id", "Entries of this organization. Administrators see all without it.", max_length=64),
    Parameter("actor", "Entries of this identity, process or database role.", max_length=_MAX_LENGTH),
    Parameter("action", "Entries of this action, such as assistant.update.", max_length=64),
    Parameter("resource_type", "Entries of this type of resource.", choices=RESOURCE_TYPES),
    Parameter("resource_id", "Entries of the resource with this id.", max_length=_MAX_LENGTH),
    Parameter("since", "Entries from this time on (ISO 8601 with a time zone).", max_length=64),
    Parameter("until", "Entries before this time (ISO 8601 with a time zone).", max_length=64),
)


def filter_of(query: Query) -> AuditFilter:
    """Raises Invalid naming the parameter."""
    organization = query.get("organization_id")
    return AuditFilter(
        organization_id=None if organization is None else parse_uuid(organization, "organization_id"),
        actor=query.get("actor"),
        action=query.get("action"),
        resource_type=query.get("resource_type"),
        resource_id=query.get("resource_id"),
        since=moment_of(query, "since"),
        until=moment_of(query, "until"),
    )
