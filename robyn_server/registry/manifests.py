"""Use cases of manifests: types of agents.

Members of an organization see published manifests, and of those that it has configured at least the agent_id.
Administrators see and write all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.storage.registry.manifests import Manifests

from .organizations import OrganizationSelector


class ManifestService:
    def __init__(self, manifests: Manifests, select_organization: OrganizationSelector) -> None:
        self._manifests = manifests
        self._select_organization = select_organization

    async def get(self, principal: Principal, agent_id: str) -> str:
        """Return the manifest as JSON text. Raises NotFound, BadRequest (no organization selected)."""
        organization_id = None if principal.is_admin else self._select_organization(principal)
        return _found(await self._manifests.find(organization_id, agent_id), agent_id)

    async def search(self, principal: Principal, after: str | None, limit: int) -> Mapping[str, Any]:
        """Return a page in the order of agent_id: `manifests`, and `next_cursor` if there are more."""
        organization_id = None if principal.is_admin else self._select_organization(principal)
        page = await self._manifests.search(organization_id, after=after, limit=limit)
        return {"manifests": [orjson.Fragment(body) for body in page.bodies], "next_cursor": page.after}

    async def upsert(self, principal: Principal, agent_id: str, fields: Mapping[str, Any]) -> tuple[str, bool]:
        """Replace all fields; return the manifest as JSON text, and whether it is new. Raises Forbidden, Invalid."""
        require(principal, Operation.MANIFESTS_WRITE)
        return await self._manifests.upsert(agent_id, fields, by=principal)

    async def update(self, principal: Principal, agent_id: str, fields: Mapping[str, Any]) -> str:
        """Change the given fields. Raises Forbidden, NotFound, Invalid."""
        require(principal, Operation.MANIFESTS_WRITE)
        return _found(await self._manifests.update(agent_id, fields, by=principal), agent_id)

    async def delete(self, principal: Principal, agent_id: str) -> None:
        """Delete a manifest that nothing uses. Raises Forbidden, NotFound, Conflict (code manifest_in_use)."""
        require(principal, Operation.MANIFESTS_WRITE)
        if not await self._manifests.delete(agent_id, by=principal):
            raise _missing(agent_id)


def _found(body: str | None, agent_id: str) -> str:
    if body is None:
        raise _missing(agent_id)
    return body


def _missing(agent_id: str) -> NotFound:
    return NotFound(f"There is no manifest {agent_id!r}.", field="agent_id")
