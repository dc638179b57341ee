"""Use case of scaling signals, which autoscalers and operators read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.storage.registry.scaling import Scaling

from .organizations import ensure_member


class ScalingService:
    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling

    async def search(
        self, principal: Principal, organization_id: UUID, agent_id: str | None, after: str | None, limit: int
    ) -> Mapping[str, Any]:
        """Return a page in the order of agent_id: `agents`, and `next_cursor` if there are more.

        Raises Forbidden if the principal is not a member of the organization.
        """
        ensure_member(principal, organization_id)
        found = await self._scaling.search(organization_id, agent_id, after=after, limit=limit + 1)
        more = len(found) > limit
        return {
            "agents": [each.to_dict() for each in found[:limit]],
            "next_cursor": found[limit - 1].agent_id if more else None,
        }
