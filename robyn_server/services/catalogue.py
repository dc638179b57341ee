"""The catalogue's agents, on first reference: the seam between requests and agent sync."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from robyn_server.core.principal import Principal


class CatalogueGate(Protocol):
    """`ttl`: how long a synced agent counts as fresh. `stale`: how long it is served when the catalogue cannot be asked."""

    ttl: timedelta
    stale: timedelta

    async def sync(self, agent_id: UUID, organizations: frozenset[UUID] | None) -> UUID | None:
        """Makes the agent's assistant equal to the catalogue and returns its id; None when there is no such active agent for
        members of `organizations` (None: of all). Raises CatalogueUnavailable when the catalogue cannot be asked."""


class NoCatalogue:
    """For a server without a catalogue: no id is an agent's."""

    ttl = timedelta(0)
    stale = timedelta(0)

    async def sync(self, agent_id: UUID, organizations: frozenset[UUID] | None) -> UUID | None:  # noqa: ARG002
        return None


async def sync_for(gate: CatalogueGate, principal: Principal, agent_id: UUID) -> UUID | None:
    """Syncs the agent as far as `principal` may see it."""
    everywhere = principal.is_admin or principal.organizations is None
    return await gate.sync(agent_id, None if everywhere else principal.organizations)
