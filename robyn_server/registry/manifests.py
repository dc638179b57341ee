"""Use cases of manifests: types of agents. Everybody sees those that his tenant has configured, and published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from robyn_server.core.errors import NotFound
from robyn_server.core.principal import Principal
from robyn_server.core.scopes import Scope
from robyn_server.storage.manifests import Manifests

from .tenants import Tenants


class ManifestService:
    def __init__(self, manifests: Manifests, tenants: Tenants) -> None:
        self._manifests = manifests
        self._tenants = tenants

    async def get(self, principal: Principal, agent_id: str) -> str:
        """As JSON text. Administrators see every one. Raises NotFound, BadRequest (no tenant)."""
        tenant = None if principal.is_admin else self._tenants(principal)
        return _found(await self._manifests.find(tenant, agent_id), agent_id)

    async def search(self, principal: Principal, after: str | None, limit: int) -> Mapping[str, Any]:
        """A page by agent_id: `manifests`, and `next_cursor` where there are more."""
        tenant = None if principal.is_admin else self._tenants(principal)
        page = await self._manifests.search(tenant, after=after, limit=limit)
        return {"manifests": [orjson.loads(body) for body in page.bodies], "next_cursor": page.after}

    async def put(self, principal: Principal, agent_id: str, fields: Mapping[str, Any]) -> tuple[str, bool]:
        """All `fields`. The manifest as JSON text, and whether it is new. Raises Forbidden, Invalid."""
        principal.require(Scope.ADMIN)
        return await self._manifests.put(agent_id, fields)

    async def update(self, principal: Principal, agent_id: str, fields: Mapping[str, Any]) -> str:
        """The `fields` that are there. Raises Forbidden, NotFound, Invalid."""
        principal.require(Scope.ADMIN)
        return _found(await self._manifests.update(agent_id, fields), agent_id)


def _found(body: str | None, agent_id: str) -> str:
    if body is None:
        raise NotFound(f"There is no manifest {agent_id!r}.", field="agent_id")
    return body
