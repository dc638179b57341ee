"""API keys that are bound to types of agents: they write only instances of these."""

from __future__ import annotations

from uuid import UUID

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.access.principal import Principal
from robyn_server.registry.outcomes import missing_registration
from robyn_server.storage.registry.instances.instances import Instances

_SECONDS = 600.0
_MAX_REGISTRATIONS = 10_000


class BoundAgents:
    """Knows the agent of registrations. It never changes, so a key that is bound costs a query for each of them."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._agent_ids = TtlCache(self._find, seconds=_SECONDS, max_size=_MAX_REGISTRATIONS)

    async def ensure_writable(self, principal: Principal, organization_id: UUID, registration_id: UUID) -> None:
        """Raises Forbidden for an instance of an agent that the key is not bound to, NotFound, Unavailable."""
        if principal.agents is not None:
            principal.require_agent(await self._agent_ids.get((organization_id, registration_id)))

    async def _find(self, which: tuple[UUID, UUID]) -> str:
        agent_id = await self._instances.find_agent_id(*which)
        if agent_id is None:  # not cached, because it is raised
            raise missing_registration()
        return agent_id
