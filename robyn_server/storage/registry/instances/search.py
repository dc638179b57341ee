"""The query of a search for instances, and the values that it filters by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robyn_server.core.registry.instances import (
    ROUTABLE_HEALTHS,
    HealthStatus,
    InstanceFilter,
    RegistrationStatus,
)
from robyn_server.core.registry.version_range import VersionRange
from robyn_server.storage.postgres.queries import Query, load
from robyn_server.storage.registry.versions import range_parameters

_SQL = load("registry/instances/instances")


def search(instance_filter: InstanceFilter, versions: VersionRange) -> tuple[Query, dict[str, Any]]:
    """Return the query and its values, without the organization and the page."""
    if instance_filter.status is RegistrationStatus.INACTIVE:
        return _SQL["search_inactive"], _lapsed(instance_filter, versions)
    if instance_filter.health is HealthStatus.STALE:
        return _SQL["search_stale"], _lapsed(instance_filter, versions)
    filters = {
        "status": instance_filter.status or RegistrationStatus.ACTIVE,
        "healths": _healths(instance_filter),
        "free_slots": instance_filter.free_slots,
        "takes_work": instance_filter.status is None,
        **range_parameters(versions),
    }
    terms = _terms(instance_filter)
    if not terms:
        return _SQL["search_current"], filters
    return _SQL["search_by_terms"], {"terms": terms, "agent_id": instance_filter.agent_id, **filters}


def _lapsed(instance_filter: InstanceFilter, versions: VersionRange) -> dict[str, Any]:
    return {
        "agent_id": instance_filter.agent_id,
        "capabilities": instance_filter.capabilities,
        "tags": instance_filter.tags,
        "zone": instance_filter.zone,
        **range_parameters(versions),
    }


def _healths(instance_filter: InstanceFilter) -> Sequence[HealthStatus] | None:
    """None: any health."""
    if instance_filter.health is not None:
        return [instance_filter.health]
    return ROUTABLE_HEALTHS if instance_filter.status is None else None


def _terms(instance_filter: InstanceFilter) -> list[str]:
    """The terms as in mcp.agent_search_terms, each once."""
    named = [f"agent:{instance_filter.agent_id}"] if instance_filter.agent_id is not None else []
    named += [f"zone:{instance_filter.zone}"] if instance_filter.zone is not None else []
    words = [f"capability:{word}" for word in instance_filter.capabilities] + [
        f"tag:{word}" for word in instance_filter.tags
    ]
    return list(dict.fromkeys(named + words))
