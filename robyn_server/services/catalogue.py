"""The catalogue's agents, on first reference: the seam between requests and agent sync."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from robyn_server.core.principal import Principal


class CatalogueGate(Protocol):
    """`ttl`: how long a synced agent counts as fresh. `stale`: how long it is served when the catalogue cannot be asked.

    `templates`: whether an agent that is not global is a template, of which each user has a copy.
    """

    ttl: timedelta
    stale: timedelta

    @property
    def templates(self) -> bool: ...

    async def sync(
        self, agent_id: UUID, organizations: frozenset[UUID] | None, identity: str | None = None
    ) -> UUID | None:
        """Makes the agent's assistant equal to the catalogue and returns its id; None when there is no such active agent for
        members of `organizations` (None: of all). Raises CatalogueUnavailable when the catalogue cannot be asked.

        Of a template that is the copy of the user `identity`, by whose own id it may be named, too; for nobody (None) no copy is
        made, and the agent's own id comes back.
        """


class NoCatalogue:
    """For a server without a catalogue: no id is an agent's."""

    ttl = timedelta(0)
    stale = timedelta(0)
    templates = False

    async def sync(
        self,
        agent_id: UUID,  # noqa: ARG002
        organizations: frozenset[UUID] | None,  # noqa: ARG002
        identity: str | None = None,  # noqa: ARG002
    ) -> UUID | None:
        return None


async def sync_for(gate: CatalogueGate, principal: Principal, agent_id: UUID, owner: str) -> UUID | None:
    """Syncs the agent as far as `principal` may see it. `owner`: whose copy of a template is meant."""
    everywhere = principal.is_admin or principal.organizations is None
    return await gate.sync(agent_id, None if everywhere else principal.organizations, owner)
