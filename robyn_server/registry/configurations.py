"""Use cases of configurations: one organization's settings for a type of agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.storage.registry.configurations import Configurations

from .organizations import ensure_member


class ConfigurationService:
    """Every method raises Forbidden if the principal is not a member of the organization. Methods that write also raise
    it if the principal's key is bound to other agents.

    `on_change` is called after each change of instances is committed, so that their events are published.
    """

    def __init__(self, configurations: Configurations, on_change: Callable[[], None]) -> None:
        self._configurations = configurations
        self._on_change = on_change

    async def get(self, principal: Principal, organization_id: UUID, agent_id: str) -> str:
        """Return the configuration as JSON text. Raises NotFound."""
        ensure_member(principal, organization_id)
        return _found(await self._configurations.find(organization_id, agent_id), agent_id)

    async def search(
        self, principal: Principal, organization_id: UUID, after: str | None, limit: int
    ) -> Mapping[str, Any]:
        """Return a page in the order of agent_id: `configurations`, and `next_cursor` if there are more."""
        ensure_member(principal, organization_id)
        page = await self._configurations.search(organization_id, after=after, limit=limit)
        return {"configurations": [orjson.Fragment(body) for body in page.bodies], "next_cursor": page.after}

    async def upsert(
        self, principal: Principal, organization_id: UUID, agent_id: str, fields: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """Replace all fields; create the configuration, and its manifest, if missing.

        Returns the configuration as JSON text, and whether it is new. Raises Invalid, Conflict.
        """
        ensure_member(principal, organization_id)
        principal.require_agent(agent_id)
        return await self._configurations.upsert(organization_id, agent_id, fields, by=principal)

    async def update(
        self, principal: Principal, organization_id: UUID, agent_id: str, fields: Mapping[str, Any]
    ) -> str:
        """Change the given fields. Raises NotFound, Invalid, Conflict."""
        ensure_member(principal, organization_id)
        principal.require_agent(agent_id)
        return _found(await self._configurations.update(organization_id, agent_id, fields, by=principal), agent_id)

    async def delete(self, principal: Principal, organization_id: UUID, agent_id: str) -> None:
        """Delete a configuration and its instances. Raises NotFound."""
        ensure_member(principal, organization_id)
        principal.require_agent(agent_id)
        if not await self._configurations.delete(organization_id, agent_id, by=principal):
            raise _missing(agent_id)
        self._on_change()


def _found(body: str | None, agent_id: str) -> str:
    if body is None:
        raise _missing(agent_id)
    return body


def _missing(agent_id: str) -> NotFound:
    return NotFound(f"There is no configuration of agent {agent_id!r}.", field="agent_id")
