"""What a sync would do, without doing it: the catalogue and the assistants are read, and nothing is written anywhere.

The same functions decide as in a sync (`parse_agent`, `check_graph`, the payload, `changed_fields`), so the answer is the same, as
long as neither side changes in between.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol
from uuid import UUID

from robyn_server.core.agent_change import RETIRED, AgentChange
from robyn_server.core.canonical import canonical_json
from robyn_server.core.catalogue import SyncAction, catalogue_projection, changed_fields
from robyn_server.core.principal import SYSTEM_OWNER

from .catalogue import agent_pages, fetch_active_agent_by_id
from .errors import AgentRejected
from .model import AgentSyncData
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .payload import _assistant_payload_for_agent, check_graph
from .protocols import CataloguePool
from .retirement import _IDS_PER_PAGE, _active_ids
from .scope import AgentSyncScope
from .single import failed

PLANNED_AT_ONCE = 50
"""Agents between which others get the event loop: some 15 milliseconds. It is also a page."""

TAKEN = "its assistant's id is taken by somebody else's"


class AssistantsView(Protocol):
    """Assistants as they are, whoever owns them."""

    async def assistants(self, agent_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        """By id: {graph_id, name, description, config, metadata, owner_id, retired_at, from_catalogue}."""
        ...

    async def absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], organizations: Sequence[UUID] | None
    ) -> Sequence[tuple[UUID, str]]:
        """(id, name) of the catalogue's in service, in (after, last] (None: no bound), of `organizations` (None: any), without
        `present`."""
        ...


async def plan_agent_sync(
    pool: CataloguePool,
    view: AssistantsView,
    *,
    scope: AgentSyncScope,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    organizations: Sequence[UUID] | None = None,
) -> AsyncGenerator[list[AgentChange], None]:
    """One change for every agent of `scope`, `skipped` ones included, and for what would be retired; in pages.

    `organizations`: only their assistants would be retired (None: all that are not in `scope`). Raises CatalogueUnavailable.
    """
    rejected: list[AgentRejected] = []
    pages: AsyncGenerator[list[AgentSyncData], None]
    async with aclosing(agent_pages(pool, scope, rejected, size=min(PLANNED_AT_ONCE, options.page_size))) as pages:
        async for agents in pages:
            refused = [_failed(each.agent_id, each) for each in rejected]
            rejected.clear()
            existing = await view.assistants([agent.agent_id for agent in agents])
            yield refused + [_planned(agent, existing.get(agent.agent_id), graphs, options) for agent in agents]
    async for absent in absent_agents(pool, view, scope, organizations):
        yield [AgentChange(agent_id, RETIRED, name) for agent_id, name in absent]


async def plan_sync_of_agent(
    pool: CataloguePool,
    view: AssistantsView,
    agent_id: UUID,
    *,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> AgentChange | None:
    """What would become of one agent; None when neither the catalogue nor the server knows it. Raises CatalogueUnavailable."""
    existing = (await view.assistants([agent_id])).get(agent_id)
    try:
        agent = await fetch_active_agent_by_id(pool, agent_id)
    except AgentRejected as rejection:
        return _failed(agent_id, rejection)
    if agent is not None and _is_within(agent, options.scope):
        return _planned(agent, existing, graphs, options)
    if existing is None or not existing["from_catalogue"] or existing["retired_at"] is not None:
        return None
    return AgentChange(agent_id, RETIRED, existing["name"])


async def absent_agents(
    pool: CataloguePool, view: AssistantsView, scope: AgentSyncScope, organizations: Sequence[UUID] | None
) -> AsyncGenerator[Sequence[tuple[UUID, str]], None]:
    """(id, name) of assistants in service whose agents are not active in `scope`, in pages. With scope `none` nothing is known."""
    if scope.type == "none":
        return
    after: UUID | None = None
    async for ids in _active_ids(pool, scope):
        last = ids[-1] if len(ids) == _IDS_PER_PAGE else None  # after the last page comes nothing
        yield await view.absent(after, last, ids, organizations)
        after = last


async def count_active_agents(pool: CataloguePool, scope: AgentSyncScope) -> int:
    """How many agents a sync of `scope` would look at. Raises CatalogueUnavailable."""
    return 0 if scope.type == "none" else sum([len(ids) async for ids in _active_ids(pool, scope)])


def _is_within(agent: AgentSyncData, scope: AgentSyncScope) -> bool:
    return scope.type != "org" or agent.organization_id in scope.organization_ids


def _planned(
    agent: AgentSyncData,
    existing: Mapping[str, Any] | None,
    graphs: Collection[str] | None,
    options: AgentSyncOptions,
) -> AgentChange:
    try:
        check_graph(agent, graphs)
        payload = _assistant_payload_for_agent(agent, options)
    except Exception as error:  # noqa: BLE001  one agent's trouble, of whatever kind, is one failure: its reason is told
        return _failed(agent.agent_id, error, agent.name)
    if existing is None:
        return AgentChange(agent.agent_id, SyncAction.CREATED, agent.name)
    if existing["owner_id"] != SYSTEM_OWNER:
        return AgentChange(agent.agent_id, SyncAction.FAILED, agent.name, reason=TAKEN)
    fields = _differing(existing, payload)
    return AgentChange(agent.agent_id, SyncAction.UPDATED if fields else SyncAction.SKIPPED, agent.name, fields)


def _differing(existing: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of fields; of `configurable` the keys. `retired_at`: it would come back into service."""
    back = ["retired_at"] if existing["retired_at"] is not None else []
    for name in changed_fields(existing, payload):
        back += _keys(existing, payload) if name == "configurable" else [name]
    return tuple(back)


def _keys(existing: Mapping[str, Any], payload: Mapping[str, Any]) -> list[str]:
    has, wants = (catalogue_projection(each)["configurable"] for each in (existing, payload))
    differing = {key for key in has | wants if (key in has) != (key in wants) or not _equal(has[key], wants[key])}
    return [f"configurable.{key}" for key in sorted(differing)]


def _equal(one: Any, other: Any) -> bool:
    return canonical_json(one) == canonical_json(other)


def _failed(agent_id: UUID, error: Exception, name: str | None = None) -> AgentChange:
    return AgentChange(agent_id, SyncAction.FAILED, name, reason=failed(agent_id, error).failure)
