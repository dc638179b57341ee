"""Tell shared agents, which all members of an organization use, from templates, of which each user has a copy.

AGENT_SYNC_TEMPLATES=off: every agent is shared, and `is_global` is ignored. `on`: agents with `is_global` are shared,
the others are templates. Where `is_global` is NULL, or the catalogue has no such column, it is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robyn_server.agent_sync.catalogue_db.contract import CatalogueContract

from .model import AgentSyncData
from .options import AgentSyncOptions
from .scope import AgentSyncScope

_GLOBAL = "coalesce(lower(a.is_global::text) in ('true', 't', 'yes', 'y', 'on', '1'), false)"
"""The values that pydantic reads as true, so that the database and `is_template` agree, whatever the column's type."""


def is_template(agent: AgentSyncData, options: AgentSyncOptions) -> bool:
    return options.templates and not agent.is_global


def shared_in(scope: AgentSyncScope, options: AgentSyncOptions) -> AgentSyncScope:
    """The shared agents of `scope`."""
    return replace(scope, only="shared") if options.templates else scope


def templates_in(scope: AgentSyncScope) -> AgentSyncScope:
    """The templates of `scope`, with AGENT_SYNC_TEMPLATES=on."""
    return replace(scope, only="templates")


def sharing_conditions(scope: AgentSyncScope) -> list[str]:
    """`scope.only` as conditions on agents `a`, for queries made with `contracted`."""
    if scope.only is None:
        return []
    return [_GLOBAL if scope.only == "shared" else f"not {_GLOBAL}"]


def contracted(contract: CatalogueContract, conditions: Sequence[str]) -> list[str]:
    """Replace `a.is_global` by null where the catalogue has no such column."""
    if contract.has("agents.is_global") and contract.has("is_global"):
        return list(conditions)
    return [condition.replace("a.is_global", "null") for condition in conditions]
