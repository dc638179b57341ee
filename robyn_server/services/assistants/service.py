"""Use cases of assistants. An assistant from the catalogue is synced on first reference."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.access.server_keys import settable_configurable
from robyn_server.core.catalogue.fields import Origin
from robyn_server.core.errors import CatalogueUnavailable, Conflict, Forbidden, NotFound, Unservable
from robyn_server.core.ids import new_id, parse_uuid, user_assistant_id
from robyn_server.core.page import Page
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.metrics.definitions import LAZY_SYNCS
from robyn_server.services.models import AllowedModels
from robyn_server.services.run_config import check_agent_configuration, validate
from robyn_server.storage.assistants import (
    AssistantChange,
    AssistantFilter,
    Assistants,
    FormerAssistant,
    FoundAssistant,
    LockedAssistant,
    NewAssistant,
    ResolvedAssistant,
)

from .agent_lookup import AgentLookup, sync_for
from .derived_fields import refuse_deletion, without_derived_fields
from .names import AssistantNames

_COPY_UUID_VERSION = 5
"""Ids of copies are derived from the agent's id and the user's."""
_TAKEN = "Assistant {} already exists"
_NOT_SYNCED = "Assistant {} was not created from the catalogue, and has the id of this agent"
F = TypeVar("F", FoundAssistant, ResolvedAssistant)


@dataclass(frozen=True, slots=True)
class AssistantRequest:
    """A request for a new assistant. `if_exists`: raise or do_nothing."""

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
        """The agent of the catalogue that the request names, if it names one."""
        named = (self.metadata or {}).get("supabase_agent_id")
        return self.assistant_id if named is None else parse_uuid(named, "metadata.supabase_agent_id")


class AssistantService:
    def __init__(
        self,
        assistants: Assistants,
        graphs: Graphs,
        models: AllowedModels,
        catalogue: AgentLookup,
        names: AssistantNames,
    ) -> None:
        self._assistants = assistants
        self._names = names
        self._models = models
        self._graphs = graphs
        self._catalogue = catalogue

    async def get(self, principal: Principal, name: str) -> str:
        """The assistant as JSON text. `name`: its UUID, or an agent's. Raises Invalid, BadRequest, NotFound."""
        assistant_id = await self._names.id_in_path(principal, name)
        found = await self._current(principal, assistant_id, self._assistants.find)
        if found is None:
            raise await self._missing(principal, assistant_id, "Not Found")
        return found.body

    async def resolve(self, principal: Principal, name: str) -> ResolvedAssistant:
        """The assistant that a run names, by UUID, by its graph's name, or by its agent's.

        Raises Invalid, BadRequest (several agents), NotFound, Unservable (its graph).
        """
        found = await self.find_named(principal, name, "Thread or assistant not found.")
        self.ensure_served(found.graph_id, found.assistant_id)
        return found

    async def find_named(self, principal: Principal, name: str, missing: str) -> ResolvedAssistant:
        """As `resolve`, whether or not its graph is served. `missing`: the text of NotFound."""
        assistant_id = await self._names.id_of(principal, name)
        found = await self._current(principal, assistant_id, self._assistants.resolve)
        if found is None:
            raise await self._missing(principal, assistant_id, missing)
        if self._names.is_graph(name) and found.origin is not Origin.GRAPH:
            raise NotFound(missing)
        return found

    async def id_of(self, principal: Principal, name: str) -> UUID:
        """The id of the assistant that `name` means, see AssistantNames. Raises Invalid, BadRequest."""
        return await self._names.id_of(principal, name)

    def ensure_served(self, graph_id: str, assistant_id: UUID, field: str = "assistant_id") -> None:
        """Raises Unservable. `field`: what names the graph."""
        if not self._graphs.serves(graph_id):
            raise Unservable(
                f"This server serves no graph '{graph_id}', which assistant {assistant_id} has. "
                f"It serves: {', '.join(self._graphs.ids)}.",
                code="graph_not_served",
                field=field,
            )

    async def _missing(self, principal: Principal, assistant_id: UUID, text: str) -> NotFound:
        """The error for an assistant that is not there, with the reason if it was retired."""
        former = await self._assistants.find_former(principal, assistant_id)
        if former is None and self._catalogue.templates:
            own = user_assistant_id(assistant_id, principal.identity)
            former = await self._assistants.find_former(principal, own)
        return NotFound(text) if former is None else _retired(assistant_id, former)

    async def _current(
        self,
        principal: Principal,
        assistant_id: UUID,
        find: Callable[[Principal, UUID, timedelta], Awaitable[F | None]],
    ) -> F | None:
        """Return what `find` finds, after a sync where one is due.

        When the catalogue is unavailable, an assistant synced within `stale` is returned; else raises
        CatalogueUnavailable.
        """
        found = await self._find(principal, assistant_id, find, self._catalogue.ttl)
        if found is not None and (found.is_fresh or not found.origin.is_synced):
            if found.origin.is_synced:
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
        """The assistant with that id; for a template agent, the principal's own copy."""
        found = await find(principal, assistant_id, within)
        if found is not None or not self._catalogue.templates:
            return found
        return await find(principal, user_assistant_id(assistant_id, principal.identity), within)

    async def _synced(self, principal: Principal, assistant_id: UUID, found: F | None) -> UUID | None:
        """Sync, and return the id of the principal's assistant; None without one.

        A copy is synced for its owner, also for other readers.
        """
        if found is None or found.template_id is None:
            agent_id, owner = assistant_id, principal.identity
        else:
            agent_id, owner = found.template_id, found.owner_id
        synced = await sync_for(self._catalogue, principal, agent_id, owner, is_stale=found is not None)
        return synced if synced in {assistant_id, user_assistant_id(assistant_id, principal.identity)} else None

    async def create(self, principal: Principal, request: AssistantRequest) -> str:
        """The new assistant as JSON text; the synced one when the request names an agent of the catalogue.

        Raises NotFound (graph, or an agent that it names), Conflict (the id is taken), BadRequest, Forbidden.
        """
        self._graphs.check_nameable(request.graph_id)
        config, context = validate(principal, request.config, request.context)
        self.check_configuration(request.graph_id, context)
        self._models.check(principal, context)
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

    def check_configuration(self, graph_id: str, configurable: Mapping[str, Any] | None) -> None:
        """Raises Invalid for a configuration that the graph does not take. Only that of the tools agent is known."""
        if self._graphs.is_tools_agent(graph_id):
            check_agent_configuration(configurable)

    async def _from_catalogue(self, principal: Principal, request: AssistantRequest) -> str | None:
        agent_id = request.catalogue_agent
        if agent_id is None:
            return None
        found = await self._current(principal, agent_id, self._assistants.find)
        names_agent = (request.metadata or {}).get("supabase_agent_id") is not None
        if found is not None:
            if names_agent and not found.origin.is_synced:
                raise Conflict(_NOT_SYNCED.format(agent_id), field="metadata.supabase_agent_id")
            return found.body if found.origin.is_synced else None
        if names_agent:
            raise NotFound(f"Agent {agent_id} not found in the catalogue", field="metadata.supabase_agent_id")
        await self._refuse_agent_id(agent_id)
        return None

    async def _refuse_agent_id(self, assistant_id: UUID) -> None:
        """Raises Conflict for the id of an agent, even of one that the principal may not see, or of any user's copy.

        A client that takes the id of another user's copy would keep the agent from that user.
        """
        if self._catalogue.templates and assistant_id.version == _COPY_UUID_VERSION:
            raise Conflict("Ids of version 5 are for users' copies of agents; choose another.", field="assistant_id")
        if await self._catalogue.sync(assistant_id, None) is not None:
            raise Conflict(_TAKEN.format(assistant_id), field="assistant_id")

    async def _existing(self, principal: Principal, assistant_id: UUID, if_exists: str) -> str:
        found = await self._assistants.find(principal, assistant_id, self._catalogue.ttl)
        if found is None or if_exists == "raise":
            raise Conflict(_TAKEN.format(assistant_id), field="assistant_id")
        return found.body

    async def update(self, principal: Principal, name: str, change: AssistantChange) -> str:
        """The assistant's next version as JSON text. `name`: as in `get`.

        Raises Invalid, NotFound, Forbidden, Conflict (it follows from an agent), BadRequest.
        """
        assistant_id = await self._names.id_in_path(principal, name)
        if change.graph_id is not None:
            self._graphs.check_nameable(change.graph_id)
        config, context = validate(principal, change.config, change.context)
        change = replace(change, config=config if change.config is not None else None, context=context)
        async with self._assistants.transaction(principal) as connection:
            locked = await self.lock(connection, principal, assistant_id)
            if locked is None:
                raise await self.unchangeable(principal, assistant_id)
            if locked.origin is Origin.GRAPH and change.graph_id not in {None, locked.graph_id}:
                raise Conflict(
                    f"The default assistant of graph '{locked.graph_id}' always runs it. Create another assistant.",
                    field="graph_id",
                )
            self.check_configuration(change.graph_id or locked.graph_id, change.context)
            self._models.check(principal, change.context, locked.config.get("configurable"))
            change = without_derived_fields(locked, _with_context(locked, change))
            body = await self._assistants.update(connection, locked.assistant_id, change)
        if body is None:
            raise NotFound(f"Assistant {assistant_id} not found")
        return body

    async def lock(self, connection: Any, principal: Principal, assistant_id: UUID) -> LockedAssistant | None:
        """Lock the assistant, or the principal's copy of it; None when the principal may not change it."""
        locked = await self._assistants.lock(connection, assistant_id)
        if locked is not None or not self._catalogue.templates:
            return locked
        return await self._assistants.lock(connection, user_assistant_id(assistant_id, principal.identity))

    async def unchangeable(self, principal: Principal, assistant_id: UUID) -> NotFound | Forbidden:
        """The error for an assistant that could not be locked."""
        if await self._assistants.find(principal, assistant_id, self._catalogue.ttl) is None:
            return NotFound(f"Assistant {assistant_id} not found")
        return Forbidden(f"Assistant {assistant_id} is shared; only its owner and administrators may change it.")

    async def delete(self, principal: Principal, name: str, *, with_threads: bool) -> None:
        """`name`: as in `get`. Raises Invalid, BadRequest, NotFound, Forbidden, Conflict (it follows from an agent)."""
        assistant_id = await self._names.id_in_path(principal, name)
        async with self._assistants.transaction(principal) as connection:
            locked = await self.lock(connection, principal, assistant_id)
            if locked is not None:
                refuse_deletion(locked)
            deleted = await self._assistants.delete(connection, assistant_id, with_threads=with_threads)
        if not deleted:
            error = await self.unchangeable(principal, assistant_id)
            raise NotFound(f"Assistant with ID {assistant_id} not found") if isinstance(error, NotFound) else error

    async def search(self, principal: Principal, where: AssistantFilter, **page: Any) -> Page:
        """Search the assistants of served graphs. Raises NotFound for another graph. Searching never syncs."""
        return await self._assistants.search(principal, self._served(where), **page)

    async def count(self, principal: Principal, where: AssistantFilter) -> int:
        """Count what a search finds. Raises as it does."""
        return await self._assistants.count(principal, self._served(where))

    def _served(self, where: AssistantFilter) -> AssistantFilter:
        for graph_id in where.graph_ids or ():
            self._graphs.check(graph_id)
        return replace(where, graph_ids=self._graphs.all_ids) if where.graph_ids is None else where


def _retired(assistant_id: UUID, former: FormerAssistant) -> NotFound:
    since = "any more" if former.retired_at is None else f"since {former.retired_at}"
    reason, code = "its agent was disabled, deleted or moved", "agent_retired"
    if former.unserved_graph is not None:
        reason, code = f"no server serves its graph '{former.unserved_graph}'", "graph_not_served"
    return NotFound(
        f"Assistant {assistant_id} ('{former.name}') is not offered {since}: {reason}.", code=code, field="assistant_id"
    )


def _with_context(locked: LockedAssistant, change: AssistantChange) -> AssistantChange:
    """A context alone replaces `configurable`, which mirrors it, and no other member of the config."""
    if change.config is not None or change.context is None:
        return change
    return replace(change, config={**locked.config, "configurable": settable_configurable(change.context)})
