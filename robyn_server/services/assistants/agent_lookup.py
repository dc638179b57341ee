"""Look up the catalogue's agents on first reference: the seam between requests and agent sync."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from robyn_server.core.access.principal import Principal


class AgentLookup(Protocol):
    """`ttl`: how long a synced agent counts as fresh. `stale`: how long it is served when the catalogue is unavailable.

    `templates`: whether an agent that is not global is a template, of which each user has a copy.
    """

    ttl: timedelta
    stale: timedelta

    @property
    def templates(self) -> bool: ...

    async def sync(
        self,
        agent_id: UUID,
        organizations: frozenset[UUID] | None,
        identity: str | None = None,
        *,
        is_stale: bool = False,
    ) -> UUID | None:
        """Make the agent's assistant equal to the catalogue and return its id.

        None when there is no such active agent for members of `organizations` (None: of all). Raises
        CatalogueUnavailable. A template is synced as the copy of the user `identity`, which `agent_id` may also name by
        its own id. Without `identity` no copy is made, and the agent's own id is returned. `is_stale`: the caller has
        just read the assistant of this very agent, and its TTL has passed; so it is not read again to find that out.
        """


async def sync_for(
    lookup: AgentLookup, principal: Principal, agent_id: UUID, owner: str, *, is_stale: bool = False
) -> UUID | None:
    """Sync the agent as far as `principal` may see it. `owner`: the user whose copy of a template is synced."""
    everywhere = principal.is_admin or principal.organizations is None or _sees_all_agents(principal)
    return await lookup.sync(agent_id, None if everywhere else principal.organizations, owner, is_stale=is_stale)


def _sees_all_agents(principal: Principal) -> bool:
    """Whether a project's handlers decide which assistants the principal sees, whatever their organization.

    Without a handler it sees its own, so it must not get copies of other organizations' templates.
    """
    conditions = None if principal.grants is None else principal.grants.assistants
    return conditions is not None and all(each.own is None for each in conditions)
