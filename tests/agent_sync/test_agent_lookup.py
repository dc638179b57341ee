"""Which organizations' agents a principal may have synced."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from robyn_server.core.access.grants import Condition, Grants, parse_filter
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.services.assistants.agent_lookup import sync_for

AGENT, ORGANIZATION = UUID(int=1), UUID(int=2)
FILTERED = (parse_filter({"team": "red"}),)


class Lookup:
    """Remembers the organizations that it was asked for."""

    ttl = stale = timedelta(minutes=1)
    templates = True

    async def sync(
        self,
        agent_id: UUID,
        organizations: frozenset[UUID] | None,
        identity: str | None = None,
        *,
        is_stale: bool = False,
    ) -> UUID | None:
        self.organizations = organizations
        return agent_id


@pytest.mark.parametrize(
    ("principal", "organizations"),
    [
        (LOCAL, None),
        (Principal("ada", frozenset({ORGANIZATION})), frozenset({ORGANIZATION})),
        (Principal("ada", grants=Grants(assistants=())), None),
        (Principal("ada", grants=Grants(assistants=FILTERED)), None),
        (Principal("ada", grants=Grants(assistants=(Condition(own="ada"),))), frozenset()),
        (Principal("ada", grants=Grants(threads=())), frozenset()),
    ],
)
async def test_a_handlers_decision_about_assistants_replaces_membership(
    principal: Principal, organizations: frozenset[UUID] | None
) -> None:
    lookup = Lookup()
    await sync_for(lookup, principal, AGENT, principal.identity)
    assert lookup.organizations == organizations
