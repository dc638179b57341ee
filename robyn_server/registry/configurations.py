"""Use cases of configurations: what one tenant has set for a type of agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.errors import NotFound
from robyn_server.core.principal import Principal
from robyn_server.storage.configurations import Configurations

from .tenants import ensure_member


class ConfigurationService:
    """Raises Forbidden to whoever does not belong to the tenant."""

    def __init__(self, configurations: Configurations, changed: Callable[[], None]) -> None:
        """`changed`: as of InstanceService."""
        self._configurations = configurations
        self._changed = changed

    async def get(self, principal: Principal, tenant: UUID, agent_id: str) -> str:
        """As JSON text. Raises NotFound."""
        ensure_member(principal, tenant)
        return _found(await self._configurations.find(tenant, agent_id), agent_id)

    async def search(self, principal: Principal, tenant: UUID, after: str | None, limit: int) -> Mapping[str, Any]:
        """A page by agent_id: `configurations`, and `next_cursor` where there are more."""
        ensure_member(principal, tenant)
        page = await self._configurations.search(tenant, after=after, limit=limit)
        return {"configurations": [orjson.loads(body) for body in page.bodies], "next_cursor": page.after}

    async def put(
        self, principal: Principal, tenant: UUID, agent_id: str, fields: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """All `fields`; the manifest is made where it is not there. JSON text, and whether it is new. Raises Invalid, Conflict."""
        ensure_member(principal, tenant)
        return await self._configurations.put(tenant, agent_id, fields)

    async def update(self, principal: Principal, tenant: UUID, agent_id: str, fields: Mapping[str, Any]) -> str:
        """The `fields` that are there. Raises NotFound, Invalid, Conflict."""
        ensure_member(principal, tenant)
        return _found(await self._configurations.update(tenant, agent_id, fields), agent_id)

    async def delete(self, principal: Principal, tenant: UUID, agent_id: str) -> None:
        """With all its instances. Raises NotFound."""
        ensure_member(principal, tenant)
        if not await self._configurations.delete(tenant, agent_id):
            raise _missing(agent_id)
        self._changed()


def _found(body: str | None, agent_id: str) -> str:
    if body is None:
        raise _missing(agent_id)
    return body


def _missing(agent_id: str) -> NotFound:
    return NotFound(f"There is no configuration of agent {agent_id!r}.", field="agent_id")
