"""What a sync would do, without doing it: the catalogue and the assistants are read, and nothing is written anywhere.

The same functions decide as in a sync (`parse_agent`, `check_graph`, the payload, `changed_fields`), so the answer is the same, as
long as neither side changes in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from robyn_server.core.agent_change import RETIRED, AgentChange
from robyn_server.core.canonical import canonical_json
from robyn_server.core.catalogue import AgentSource, SyncAction, catalogue_projection, changed_fields
from robyn_server.core.principal import SYSTEM_OWNER

from .catalogue import agent_pages, fetch_active_agent_by_id
from .errors import AgentRejected
from .model import AgentSyncData
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .payload import _assistant_payload_for_agent, check_graph
from .protocols import CataloguePool
from .retirement import _IDS_PER_PAGE, _active_ids
from .rows import parse_agent
from .scope import AgentSyncScope
from .sharing import is_template, shared_in, templates_in
from .single import failed, source_of, taken_by
from .source import STANDARD, CatalogueSource
from .template_pass import template_catalogue

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

    async def absent_copies(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], organizations: Sequence[UUID] | None
    ) -> Sequence[tuple[UUID, str]]:
        """As `absent`, of agents that users have copies of; the ids are the agents'."""
        ...

    async def copied_agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """As CopiesProtocol.agents."""
        ...

    async def copies(self, agent_ids: Sequence[UUID]) -> Sequence[Mapping[str, Any]]:
        """Users' copies of these agents, retired ones too; each as `assistants` has it, with its `template_id`."""
        ...


Absent: TypeAlias = Callable[
    [UUID | None, UUID | None, Collection[UUID], Sequence[UUID] | None], Awaitable[Sequence[tuple[UUID, str]]]
]


async def plan_agent_sync(
    pool: CataloguePool,
    view: AssistantsView,
    *,
    scope: AgentSyncScope,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    organizations: Sequence[UUID] | None = None,
) -> AsyncGenerator[list[AgentChange], None]:
    """One change for every agent of `scope` that a sync counts, `skipped` ones included, and for what would be retired; in pages.

    `organizations`: only their assistants would be retired (None: all that are not in `scope`). Raises CatalogueUnavailable.
    """
    rejected: list[AgentRejected] = []
    pages: AsyncGenerator[list[AgentSyncData], None]
    async with aclosing(
        agent_pages(
            pool,
            shared_in(scope, options),
            rejected,
            size=min(PLANNED_AT_ONCE, options.page_size),
            source=options.source,
        )
    ) as pages:
        async for agents in pages:
            refused = [_failed(each.agent_id, each) for each in rejected]
            rejected.clear()
            existing = await view.assistants([agent.agent_id for agent in agents])
            yield refused + [_planned(agent, existing.get(agent.agent_id), graphs, options) for agent in agents]
    if options.templates:
        async for changes in plan_copies(pool, view, scope, graphs, options):
            yield changes
    async for absent in absent_agents(pool, view, scope, organizations, options.source, templates=options.templates):
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
        agent = await fetch_active_agent_by_id(pool, agent_id, source=options.source)
    except AgentRejected as rejection:
        return _failed(agent_id, rejection)
    copies = await view.copies([agent_id])
    if agent is not None and _is_within(agent, options.scope):
        if not is_template(agent, options):
            return _planned(agent, existing, graphs, options)
        change = planned_copies(agent, copies, graphs, options)
        return (
            _retired(agent_id, [existing], options.source.origin) or change
            if not copies and change.reason is None
            else change
        )
    return _retired(agent_id, [existing, *copies], options.source.origin)


async def plan_copies(
    pool: CataloguePool,
    view: AssistantsView,
    scope: AgentSyncScope,
    graphs: Collection[str] | None,
    options: AgentSyncOptions,
) -> AsyncGenerator[list[AgentChange], None]:
    """One change for every template of `scope` that users have copies of, or that cannot be served though somebody asked for it."""
    catalogue, after = template_catalogue(pool, scope, graphs, options), None
    while ids := await view.copied_agents(after, PLANNED_AT_ONCE):
        copies = defaultdict[UUID, list[Mapping[str, Any]]](list)
        for each in await view.copies(ids):
            copies[each["template_id"]].append(each)
        changes = list[AgentChange]()
        for row in await catalogue.rows(ids):
            try:
                changes.append(planned_copies(parse_agent(row), copies[row["agent_id"]], graphs, options))
            except AgentRejected as rejection:
                changes.append(_failed(row["agent_id"], rejection))
        yield [change for change in changes if copies[change.agent_id] or change.action == SyncAction.FAILED]
        after = ids[-1]


def planned_copies(
    agent: AgentSyncData,
    copies: Sequence[Mapping[str, Any]],
    graphs: Collection[str] | None,
    options: AgentSyncOptions,
) -> AgentChange:
    """As `_planned`, of users' copies: `fields` are those in which any of them differs."""
    payload = _payload_of(agent, graphs, options)
    if isinstance(payload, AgentChange):
        return payload
    fields = tuple(dict.fromkeys(name for copy in copies for name in differing(copy, payload)))
    return AgentChange(agent.agent_id, SyncAction.UPDATED if fields else SyncAction.SKIPPED, agent.name, fields)


async def absent_agents(
    pool: CataloguePool,
    view: AssistantsView,
    scope: AgentSyncScope,
    organizations: Sequence[UUID] | None,
    source: CatalogueSource = STANDARD,
    *,
    templates: bool = False,
) -> AsyncGenerator[Sequence[tuple[UUID, str]], None]:
    """(agent, name) of assistants in service that retire_absent_agents would retire, in pages. With scope `none` nothing is known."""
    if scope.type == "none":
        return
    shared = replace(scope, only="shared") if templates else scope
    async for page in _absent(pool, view.absent, shared, organizations, source):
        yield page
    if not templates:
        yield await view.absent_copies(None, None, [], organizations)
        return
    async for page in _absent(pool, view.absent_copies, templates_in(scope), organizations, source):
        yield page


async def _absent(
    pool: CataloguePool,
    absent: Absent,
    scope: AgentSyncScope,
    organizations: Sequence[UUID] | None,
    source: CatalogueSource,
) -> AsyncGenerator[Sequence[tuple[UUID, str]], None]:
    after: UUID | None = None
    async for ids in _active_ids(pool, scope, source):
        last = ids[-1] if len(ids) == _IDS_PER_PAGE else None  # after the last page comes nothing
        yield await absent(after, last, ids, organizations)
        after = last


async def count_active_agents(pool: CataloguePool, scope: AgentSyncScope, source: CatalogueSource = STANDARD) -> int:
    """How many agents a sync of `scope` would look at. Raises CatalogueUnavailable."""
    return 0 if scope.type == "none" else sum([len(ids) async for ids in _active_ids(pool, scope, source)])


async def count_copied_templates(
    pool: CataloguePool, view: AssistantsView, scope: AgentSyncScope, source: CatalogueSource = STANDARD
) -> int:
    """How many templates of `scope` a sync with AGENT_SYNC_TEMPLATES=on would look at. Raises CatalogueUnavailable."""
    copied, after = set[UUID](), None
    while scope.type != "none" and (ids := await view.copied_agents(after, _IDS_PER_PAGE)):
        copied.update(ids)
        after = ids[-1]
    if not copied:
        return 0
    return sum([len(copied.intersection(ids)) async for ids in _active_ids(pool, templates_in(scope), source)])


def _retired(agent_id: UUID, assistants: Sequence[Mapping[str, Any] | None], source: AgentSource) -> AgentChange | None:
    """The change of an agent that would go out of service; None where nothing of it is there, or in service."""
    names = [
        each["name"]
        for each in assistants
        if each and each["from_catalogue"] and each["retired_at"] is None and source_of(each) is source
    ]
    return AgentChange(agent_id, RETIRED, names[0]) if names else None


def _is_within(agent: AgentSyncData, scope: AgentSyncScope) -> bool:
    return scope.type != "org" or agent.organization_id in scope.organization_ids


def _planned(
    agent: AgentSyncData,
    existing: Mapping[str, Any] | None,
    graphs: Collection[str] | None,
    options: AgentSyncOptions,
) -> AgentChange:
    payload = _payload_of(agent, graphs, options)
    if isinstance(payload, AgentChange):
        return payload
    if existing is None:
        return AgentChange(agent.agent_id, SyncAction.CREATED, agent.name)
    if existing["retired_at"] is None and source_of(existing) != source_of(payload):
        return AgentChange(agent.agent_id, SyncAction.FAILED, agent.name, reason=taken_by(source_of(existing)))
    if existing["owner_id"] != SYSTEM_OWNER:
        return AgentChange(agent.agent_id, SyncAction.FAILED, agent.name, reason=TAKEN)
    fields = differing(existing, payload)
    return AgentChange(agent.agent_id, SyncAction.UPDATED if fields else SyncAction.SKIPPED, agent.name, fields)


def _payload_of(
    agent: AgentSyncData, graphs: Collection[str] | None, options: AgentSyncOptions
) -> dict[str, Any] | AgentChange:
    """What its assistant would be, or its failure."""
    try:
        check_graph(agent, graphs)
        return _assistant_payload_for_agent(agent, options)
    except Exception as error:  # noqa: BLE001  one agent's trouble, of whatever kind, is one failure: its reason is told
        return _failed(agent.agent_id, error, agent.name)


def differing(existing: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[str, ...]:
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
