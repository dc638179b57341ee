"""Use case of the history of an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.registry.organizations import ensure_member
from robyn_server.registry.outcomes import missing_registration
from robyn_server.storage.registry.instances.history import InstanceHistories


class InstanceHistoryService:
    def __init__(self, histories: InstanceHistories) -> None:
        self._histories = histories

    async def get(self, principal: Principal, organization_id: UUID, registration_id: UUID) -> Mapping[str, Any]:
        """Return registrations and events, the newest first, the circuit breaker, and numbers of jobs.

        Raises Forbidden if the principal is not a member of the organization, and NotFound.
        """
        ensure_member(principal, organization_id)
        history = await self._histories.find(organization_id, registration_id)
        if history is None:
            raise missing_registration()
        return history.to_dict()
