"""AGENT_SYNC_SCOPE: which agents are synced at boot.

scope = "" | "none" | "all" | organization *("," organization)
organization = "org:" uuid
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from robyn_server.core.ids import find_uuid


@dataclass(frozen=True, slots=True)
class AgentSyncScope:
    """`organization_ids` is empty unless `type` is "org".

    `only`: selects its shared agents, or its templates (sharing.py).
    """

    type: Literal["none", "all", "org"] = "none"
    organization_ids: list[UUID] = field(default_factory=list)
    only: Literal["shared", "templates"] | None = None

    @classmethod
    def none(cls) -> AgentSyncScope:
        return cls("none")

    @classmethod
    def all(cls) -> AgentSyncScope:
        return cls("all")

    @classmethod
    def orgs(cls, organization_ids: Iterable[UUID]) -> AgentSyncScope:
        """These organizations, each once, in the order of their first mention."""
        return cls("org", list(dict.fromkeys(organization_ids)))

    def __str__(self) -> str:
        return ",".join(f"org:{each}" for each in self.organization_ids) or self.type


def parse_agent_sync_scope(text: str | None) -> AgentSyncScope:
    """The scope that `text` names. Raises ValueError naming the part that is none of the above."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    words = {part.lower() for part in parts}
    if words <= {"none"}:
        return AgentSyncScope()
    if words == {"all"}:
        return AgentSyncScope("all")
    return AgentSyncScope.orgs(_organization(part, text or "") for part in parts)


def _organization(part: str, text: str) -> UUID:
    prefix, _, identifier = part.partition(":")
    organization_id = find_uuid(identifier.strip()) if prefix.strip().lower() == "org" else None
    if organization_id is None:
        raise ValueError(
            f"{part!r} in {text!r} is not an org:<uuid>; a scope is `none`, `all`, or org:<uuid>[,org:<uuid>…]"
        )
    return organization_id
