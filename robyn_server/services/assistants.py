"""Use cases of assistants. One that comes from the catalogue is brought up to date wherever it is first referenced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from robyn_server.core.catalogue import CATALOGUE_METADATA_KEYS
from robyn_server.core.errors import CatalogueUnavailable, Conflict, Forbidden, Invalid, NotFound
from robyn_server.core.ids import default_assistant_id, find_uuid, new_id, parse_uuid, user_assistant_id
from robyn_server.core.page import Page
from robyn_server.core.principal import Principal
from robyn_server.graphs.loading import Graphs
from robyn_server.metrics.definitions import LAZY_SYNCS
from robyn_server.storage.assistants import (
    AssistantChange,
    AssistantFilter,
    Assistants,
    FoundAssistant,
    LockedAssistant,
    NewAssistant,
    ResolvedAssistant,
)

from .catalogue import CatalogueGate, sync_for
from .configuration import checked, refuse_catalogue_keys

_FROM_CATALOGUE = ("graph_id", "name", "description")
_OF_COPIES = 5
"""The version of UUIDs that follow from others."""
_TAKEN = "Assistant {} already exists"
F = TypeVar("F", FoundAssistant, ResolvedAssistant)


@dataclass(frozen=True, slots=True)
class AssistantRequest:
    """A new assistant as a client asks for it. `if_exists`: raise or do_nothing."""

    graph_id: str
    assistant_id: UUID | None = None
    name: str = "Untitled"
    description: str | None = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    if_exists: str = "raise"

    @property
    def catalogue_agent(self) -> UUID | None:
        """The catalogue's agent that the client means, if it says so."""
        named = (self.metadata or {}).get("supabase_agent_id")
        return self.assistant_id if named is None else parse_uuid(named, "metadata.supabase_agent_id")


class AssistantService:
    def __init__(self, assistants: Assistants, graphs: Graphs, catalogue: CatalogueGate) -> None:
        self._assistants = assistants
        self._graphs = graphs
        self._catalogue = catalogue

    async def get(self, principal: Principal, assistant_id: UUID) -> str:
        """The assistant as JSON text. Raises NotFound."""
        found = await self._current(principal, assistant_id, self._assistants.find)
        if found is None:
            raise NotFound("Not Found")
        return found.body

    async def resolve(self, principal: Principal, name: str) -> ResolvedAssistant:
        """The assistant that a run names, by UUID or by its graph's name. Raises Invalid or NotFound."""
        assistant_id = find_uuid(name) or self._default(name)
        found = await self._current(principal, assistant_id, self._assistants.resolve)
        if found is None:
            raise NotFound("Thread or assistant not found.")
        return found

    async def _current(
        self,
        principal: Principal,
        assistant_id: UUID,
        find: Callable[[Principal, UUID, timedelta], Awaitable[F | None]],
    ) -> F | None:
        """What `find` finds, after the catalogue was asked where that is due.

        When it cannot be asked, what was synced within `stale` is served as it is; else raises CatalogueUnavailable.
        """
        found = await self._find(principal, assistant_id, find, self._catalogue.ttl)
        if found is not None and (found.is_fresh or not found.from_catalogue):
            if found.from_catalogue:
                LAZY_SYNCS.inc("hit")
            return found
        try:
            synced = await self._synced(principal, assistant_id, found)
        except CatalogueUnavailable:
            stale = await self._find(principal, assistant_id, find, self._catalogue.stale)
            if stale is None or not stale.is_fresh:
                LAZY_SYNCS.inc("unavailable")
                raise
            LAZY_SYNCS.inc("stale")
            return stale
        return None if synced is None else await find(principal, synced, self._catalogue.ttl)

    async def _find(
        self,
        principal: Principal,
        assistant_id: UUID,
        find: Callable[[Principal, UUID, timedelta], Awaitable[F | None]],
        within: timedelta,
    ) -> F | None:
        """The assistant with that id; of a template agent with that id the principal's own copy."""
        found = await find(principal, assistant_id, within)
        if found is not None or not self._catalogue.templates:
            return found
        return await find(principal, user_assistant_id(assistant_id, principal.identity), within)

    async def _synced(self, principal: Principal, assistant_id: UUID, found: F | None) -> UUID | None:
        """The id under which the principal now has what it named; None when that is nothing. A copy is its owner's, whoever looks."""
        if found is None or found.template_id is None:
            agent_id, owner = assistant_id, principal.identity
        else:
            agent_id, owner = found.template_id, found.owner_id
        synced = await sync_for(self._catalogue, principal, agent_id, owner)
        return synced if synced in {assistant_id, user_assistant_id(assistant_id, principal.identity)} else None

    def _default(self, graph_id: str) -> UUID:
        if graph_id not in self._graphs.ids:
            raise Invalid(
                f"Invalid assistant: '{graph_id}'. Must be either:\n- A valid assistant UUID, or\n"
                f"- One of the registered graphs: {', '.join(self._graphs.ids)}",
                field="assistant_id",
            )
        return default_assistant_id(graph_id)

    async def create(self, principal: Principal, request: AssistantRequest) -> str:
        """The new assistant as JSON text; the synced one when the request names an agent of the catalogue.

        Raises NotFound (graph, or an agent that it names), Conflict (the id is taken), BadRequest, Forbidden.
        """
        self._graphs.check(request.graph_id)
        config, context = checked(principal, request.config, request.context)
        if (synced := await self._from_catalogue(principal, request)) is not None:
            return synced
        organization_id = principal.organization_for_new()
        new = NewAssistant(
            assistant_id=request.assistant_id or new_id(),
            graph_id=request.graph_id,
            name=request.name,
            description=request.description,
            config=config or {},
            context=context or {},
            metadata=request.metadata or {},
        )
        body = await self._assistants.create(principal, new, organization_id)
        return body if body is not None else await self._existing(principal, new.assistant_id, request.if_exists)

    async def _from_catalogue(self, principal: Principal, request: AssistantRequest) -> str | None:
        agent_id = request.catalogue_agent
        if agent_id is None:
            return None
        found = await self._current(principal, agent_id, self._assistants.find)
        if found is not None and found.from_catalogue:
            return found.body
        if (request.metadata or {}).get("supabase_agent_id") is not None:
            raise NotFound(f"Agent {agent_id} not found in the catalogue", field="metadata.supabase_agent_id")
        await self._keep_free(agent_id)
        return None

    async def _keep_free(self, assistant_id: UUID) -> None:
        """The ids of agents are the catalogue's, also of those that the principal may not see. Raises Conflict.

        Who could take the id of another user's copy, before that user asks for it, would keep the agent from them.
        """
        if self._catalogue.templates and assistant_id.version == _OF_COPIES:
            raise Conflict("Ids of version 5 are for users' copies of agents; choose another.", field="assistant_id")
        if await self._catalogue.sync(assistant_id, None) is not None:
            raise Conflict(_TAKEN.format(assistant_id), field="assistant_id")

    async def _existing(self, principal: Principal, assistant_id: UUID, if_exists: str) -> str:
        found = await self._assistants.find(principal, assistant_id, self._catalogue.ttl)
        if found is None or if_exists == "raise":
            raise Conflict(_TAKEN.format(assistant_id), field="assistant_id")
        return found.body

    async def update(self, principal: Principal, assistant_id: UUID, change: AssistantChange) -> str:
        """The assistant's next version as JSON text. Raises NotFound, Forbidden, Conflict (the catalogue owns it), BadRequest."""
        if change.graph_id is not None:
            self._graphs.check(change.graph_id)
        config, context = checked(principal, change.config, change.context)
        change = replace(change, config=config if change.config is not None else None, context=context)
        async with self._assistants.changing(principal) as connection:
            locked = await self._lock(connection, principal, assistant_id)
            if locked is None:
                raise await self._unchangeable(principal, assistant_id)
            change = _within(locked, _beside(locked, change))
            body = await self._assistants.update(connection, locked.assistant_id, change)
        if body is None:
            raise NotFound(f"Assistant {assistant_id} not found")
        return body

    async def _lock(self, connection: Any, principal: Principal, assistant_id: UUID) -> LockedAssistant | None:
        locked = await self._assistants.lock(connection, assistant_id)
        if locked is not None or not self._catalogue.templates:
            return locked
        return await self._assistants.lock(connection, user_assistant_id(assistant_id, principal.identity))

    async def _unchangeable(self, principal: Principal, assistant_id: UUID) -> NotFound | Forbidden:
        if await self._assistants.find(principal, assistant_id, self._catalogue.ttl) is None:
            return NotFound(f"Assistant {assistant_id} not found")
        return Forbidden(f"Assistant {assistant_id} is the server's own; only administrators may change it.")

    async def delete(self, principal: Principal, assistant_id: UUID, *, with_threads: bool) -> None:
        """Raises NotFound, Forbidden, or Conflict when the catalogue owns it."""
        async with self._assistants.changing(principal) as connection:
            locked = await self._lock(connection, principal, assistant_id)
            if locked is not None and locked.from_catalogue:
                raise Conflict(
                    f"Assistant {assistant_id} comes from the catalogue; disable or delete its agent there.",
                    code="catalogue_owned",
                )
            deleted = await self._assistants.delete(connection, assistant_id, with_threads=with_threads)
        if not deleted:
            error = await self._unchangeable(principal, assistant_id)
            raise NotFound(f"Assistant with ID {assistant_id} not found") if isinstance(error, NotFound) else error

    async def search(self, principal: Principal, where: AssistantFilter, **page: Any) -> Page:
        """Raises NotFound for a graph that is not served. Searching never syncs."""
        if where.graph_id is not None:
            self._graphs.check(where.graph_id)
        return await self._assistants.search(principal, where, **page)


def _beside(locked: LockedAssistant, change: AssistantChange) -> AssistantChange:
    """A context alone replaces only what mirrors it: tags and the like stay."""
    if change.config is not None or change.context is None:
        return change
    return replace(change, config={**locked.config, "configurable": change.context})


def _within(locked: LockedAssistant, change: AssistantChange) -> AssistantChange:
    """The change, as far as an assistant of the catalogue may be changed: its own keys stay. Raises Conflict naming the key."""
    if not locked.from_catalogue:
        return change
    for name in _FROM_CATALOGUE:
        if getattr(change, name) is not None or (name == "description" and change.sets_description):
            raise _owned(name)
    for key in CATALOGUE_METADATA_KEYS:
        if key in (change.metadata or {}):
            raise _owned(f"metadata.{key}")
    if change.config is None and change.context is None:
        return change
    owned = locked.config.get("configurable", {})
    refuse_catalogue_keys(owned, change.context, "Assistant")
    configurable = owned | (change.context or {})
    return replace(change, config={**(change.config or {}), "configurable": configurable}, context=configurable)


def _owned(name: str) -> Conflict:
    return Conflict(f"'{name}' belongs to the catalogue; change it there.", code="catalogue_owned", field=name)
