"""Use cases of brakes, which keep stale instances from being ended while a fault of the server is likely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.storage.registry.brakes import Brakes

from .organizations import ensure_member


class BrakeService:
    """Every method raises Forbidden if the principal is not a member of the organization."""

    def __init__(self, brakes: Brakes) -> None:
        self._brakes = brakes

    async def search(
        self, principal: Principal, organization_id: UUID, *, limit: int, offset: int
    ) -> Mapping[str, Any]:
        """Return a page of them, the oldest first: an organization has at most one for each configuration."""
        ensure_member(principal, organization_id)
        found = await self._brakes.search(organization_id, limit=limit, offset=offset)
        return {"brakes": [orjson.Fragment(body) for body in found]}

    async def release(self, principal: Principal, organization_id: UUID, agent_id: str) -> None:
        """Release a brake whose instances are gone for good. Raises NotFound, Forbidden (a key of other agents)."""
        ensure_member(principal, organization_id)
        principal.require_agent(agent_id)
        if not await self._brakes.release(organization_id, agent_id, by=principal):
            raise NotFound(f"There is no brake on agent {agent_id!r}.", field="agent_id")
