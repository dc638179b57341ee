"""Use cases of cordons, with which operators keep an instance from work through all its registrations."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import structlog

from robyn_server.core.access.principal import Principal
from robyn_server.registry.instances.bound_agents import BoundAgents
from robyn_server.registry.organizations import ensure_member
from robyn_server.registry.outcomes import raise_for_outcome
from robyn_server.storage.registry.instances.instances import Instances

_log = structlog.get_logger(__name__)


class CordonService:
    """Every method raises Forbidden if the principal is not a member of the organization, or if its key is bound to
    other agents, and NotFound.

    `on_change` is called after each change is committed, so that its events are published.
    """

    def __init__(self, instances: Instances, on_change: Callable[[], None]) -> None:
        self._instances = instances
        self._bound = BoundAgents(instances)
        self._on_change = on_change

    async def cordon(
        self, principal: Principal, organization_id: UUID, registration_id: UUID, reason: str | None = None
    ) -> None:
        """Cordoning again replaces the reason. Raises Invalid."""
        ensure_member(principal, organization_id)
        await self._bound.ensure_writable(principal, organization_id, registration_id)
        raise_for_outcome(await self._instances.cordon(principal, organization_id, registration_id, reason))
        self._on_change()
        _log.info("instance cordoned", registration_id=str(registration_id), by=principal.identity, reason=reason)

    async def uncordon(self, principal: Principal, organization_id: UUID, registration_id: UUID) -> None:
        ensure_member(principal, organization_id)
        await self._bound.ensure_writable(principal, organization_id, registration_id)
        raise_for_outcome(await self._instances.uncordon(principal, organization_id, registration_id))
        self._on_change()
        _log.info("instance uncordoned", registration_id=str(registration_id), by=principal.identity)
