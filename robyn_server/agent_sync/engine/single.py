"""One agent, one assistant: decide what has to be done, and do it, whatever other replicas do at the same time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from robyn_server.agent_sync.catalogue_db.reasons import rejected_in
from robyn_server.agent_sync.catalogue_db.source import CataloguePool
from robyn_server.agent_sync.errors import AgentRejected
from robyn_server.agent_sync.mapping import map_agent
from robyn_server.agent_sync.model import AgentSyncData, AgentSyncResult
from robyn_server.agent_sync.options import DEFAULT_OPTIONS, AgentSyncOptions
from robyn_server.agent_sync.store import AssistantsProtocol, AssistantStorageProtocol, SyncStore, sync_store
from robyn_server.core.access.principal import SYSTEM_OWNER
from robyn_server.core.catalogue.fields import (
    AgentSource,
    Origin,
    StaleRead,
    SyncAction,
    SyncOutcome,
    catalogue_projection,
    changed_fields,
    comparable_json,
    field_of,
    mapping_field,
)
from robyn_server.core.errors import AgenthallError, Conflict, NotFound

from .sync_log import SyncLog
from .write_back import count_failure, may_write_back, write_back

ATTEMPTS = 4
"""Reads of an assistant before giving up.

A race is over after one more read; further ones mean that something keeps changing it.
"""


@dataclass(frozen=True, slots=True)
class SyncContext:
    """The catalogue, the store and the options of a sync.

    `owner_id` asks, `new_owner` owns what is created. `graphs`: those that this server serves; None: any.
    """

    pool: CataloguePool
    store: SyncStore
    owner_id: str
    new_owner: str
    graphs: Collection[str] | None
    options: AgentSyncOptions
    log: SyncLog = field(default_factory=SyncLog)

    @classmethod
    def of_system(
        cls,
        pool: CataloguePool,
        storage: AssistantStorageProtocol,
        graphs: Collection[str] | None,
        options: AgentSyncOptions,
        log: SyncLog | None = None,
    ) -> SyncContext:
        """For the server itself, which owns what all members of an organization share."""
        return cls(pool, sync_store(storage), SYSTEM_OWNER, SYSTEM_OWNER, graphs, options, log or SyncLog())

    def payload(self, agent: AgentSyncData) -> dict[str, Any]:
        """The payload of the agent's assistant. Raises AgentRejected."""
        try:
            return map_agent(agent, self.graphs, self.options)
        except AgentRejected as rejection:
            raise rejected_in(self.options.source, rejection) from None

    def decide(self, existing: Any, payload: Mapping[str, Any]) -> Decision:
        """As `decide`, with the column of the source in the reason."""
        try:
            return decide(existing, payload)
        except AgentRejected as rejection:
            raise rejected_in(self.options.source, rejection) from None


@dataclass(frozen=True, slots=True)
class Decision:
    """The action for an assistant: create it, update it in `fields`, or nothing."""

    action: SyncAction
    fields: tuple[str, ...] = ()


def decide(existing: Any, payload: Mapping[str, Any]) -> Decision:
    """Compare an assistant (None: there is none) with what it must be. Every sync, and every dry run, goes by this.

    Raises AgentRejected when the assistant is not this agent's.
    """
    if existing is None:
        return Decision(SyncAction.CREATED)
    taken_by = other_owner_of_id(existing, payload)
    if taken_by is not None:
        raise AgentRejected(UUID(payload["assistant_id"]), "agents.id", f"{taken_by} has this id")
    fields = differing_fields(existing, payload)
    return Decision(SyncAction.UPDATED if fields else SyncAction.SKIPPED, fields)


def differing_fields(existing: Any, payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of fields; of `configurable` the keys. `retired_at`: it would come back into service."""
    fields = ["retired_at"] if is_retired(existing) else []
    for name in changed_fields(existing, payload):
        fields += _differing_keys(existing, payload) if name == "configurable" else [name]
    return tuple(fields)


def _differing_keys(existing: Any, payload: Mapping[str, Any]) -> list[str]:
    one, other = (
        {key: comparable_json(value) for key, value in catalogue_projection(each)["configurable"].items()}
        for each in (existing, payload)
    )
    return [f"configurable.{key}" for key in sorted(one | other) if one.get(key) != other.get(key)]


async def sync_single_agent(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    agent: AgentSyncData,
    owner_id: str,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> AgentSyncResult:
    """Make the agent's assistant equal to it, owned by `owner_id` if it is new, and record that in the ledger.

    Raises AgentRejected when the agent cannot be served, Conflict when the assistant's id is not available.
    """
    context = SyncContext(pool, sync_store(storage), owner_id, owner_id, graphs, options)
    return await apply_and_record(context, agent)


async def apply_and_record(context: SyncContext, agent: AgentSyncData, *, is_new: bool = False) -> AgentSyncResult:
    """As apply_agent; the outcome, good or bad, is in the ledger afterwards, and a failed write-back in the log."""
    try:
        result = await apply_agent(context, agent, is_new=is_new)
    except (AgentRejected, Conflict) as error:
        await context.store.record([failed(agent.agent_id, error, agent.name)])
        raise
    await context.store.record([result.outcome()])
    if result.write_back_error is not None:
        context.log.write_back_failed(agent.agent_id, result.write_back_error)
    return result


async def apply_agent(context: SyncContext, agent: AgentSyncData, *, is_new: bool = False) -> AgentSyncResult:
    """Make the agent's assistant equal to it.

    Raises AgentRejected, and Conflict when the assistant's id is not available.
    """
    payload = context.payload(agent)
    action = await converge(context, payload, is_new=is_new)
    assistant_id = payload["assistant_id"]
    if agent.langgraph_assistant_id == assistant_id or not may_write_back(context.pool, context.options):
        return AgentSyncResult(assistant_id=assistant_id, action=action)
    try:
        wrote = await write_back(context.pool, agent.agent_id, assistant_id, context.options.source)
    except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
        return AgentSyncResult(assistant_id=assistant_id, action=action, write_back_error=count_failure(error))
    return AgentSyncResult(assistant_id=assistant_id, action=action, wrote_back_assistant_id=wrote)


async def find_assistant(assistants: AssistantsProtocol, assistant_id: str, owner_id: str) -> tuple[Any, str]:
    """The assistant (or None) and its owner: the one that it names, else the one it was found for."""
    for owner in dict.fromkeys((owner_id, SYSTEM_OWNER)):
        try:
            found = await assistants.get(assistant_id, owner)
        except NotFound:
            continue
        if found is not None:
            named = field_of(found, "owner_id")
            return found, named if isinstance(named, str) else owner
    return None, owner_id


def is_retired(existing: Any) -> bool:
    """Whether the assistant is out of service. Only a storage that says so knows of that."""
    return isinstance(existing, Mapping) and existing.get("retired_at") is not None


def failed(agent_id: UUID, error: Exception, name: str | None = None) -> SyncOutcome:
    """The failure as a line of the ledger.

    The reason of an error that is not ours begins with its type, and the log has its traceback.
    """
    if isinstance(error, AgenthallError):
        return SyncOutcome(agent_id, SyncAction.FAILED, failure=error.detail, name=name)
    reason = f"{type(error).__name__}: {error}"
    return SyncOutcome(agent_id, SyncAction.FAILED, failure=reason, name=name, error=error)


async def converge(context: SyncContext, payload: Mapping[str, Any], *, is_new: bool = False) -> SyncAction:
    """Read and write until the assistant is what `payload` says. A Conflict means that another replica was quicker.

    `is_new`: the caller has just seen that there is no such assistant, which saves a read.
    An assistant that a later read has written stays: that is a skip. Raises StaleRead where it wrote no assistant.
    """
    assistants, assistant_id = context.store.assistants, payload["assistant_id"]
    is_latest = await context.store.claim(payload)
    for attempt in range(ATTEMPTS):
        # Read after the claim: an older version may have been written before it. Only an assistant that did not exist
        # need not be
        # read: creating it fails if it exists now.
        existing, owner = (
            (None, context.owner_id)
            if is_new and attempt == 0
            else await find_assistant(assistants, assistant_id, context.owner_id)
        )
        decision = context.decide(existing, payload)
        if decision.action is SyncAction.SKIPPED or (existing is not None and not is_latest):
            return SyncAction.SKIPPED
        try:
            if existing is None:
                await assistants.create(payload, context.new_owner)
            else:
                await assistants.update(assistant_id, payload, owner)
        except StaleRead:
            if existing is None:
                raise
            return SyncAction.SKIPPED
        except Conflict:
            continue
        context.log.changed(decision.action, UUID(assistant_id), payload.get("name"), decision.fields)
        return decision.action
    raise Conflict(f"Agent {assistant_id}: its assistant's id is taken by somebody else's, or keeps changing")


def other_owner_of_id(existing: Any, payload: Mapping[str, Any]) -> str | None:
    """Describe what has the id of `payload`; None if it is the same agent's assistant.

    Only a storage that returns `origin` and `template_id` knows of default assistants, clients' assistants and users'
    copies.
    """
    source, origin = source_of(payload), field_of(existing, "origin")
    if not isinstance(origin, str) or origin not in _OTHER_ORIGINS:
        origin = source_of(existing)
    if origin != source:
        return _OTHER_ORIGINS[Origin(origin)]
    template_id = field_of(existing, "template_id")
    agent_id = payload["metadata"].get("supabase_agent_id", payload["assistant_id"])
    if isinstance(template_id, UUID) and str(template_id) != str(agent_id):
        return "a user's copy of another agent"
    return None


_OTHER_ORIGINS: Mapping[str, str] = {
    Origin.CLIENT: "an assistant that a client created",
    Origin.GRAPH: "the default assistant of a graph",
    Origin.CATALOGUE: "an agent of another source (catalogue)",
    Origin.CONFIGURATION: "an agent of another source (configuration)",
    Origin.INSTANCES: "an agent that runs in instances",
}


def source_of(assistant: Any) -> AgentSource:
    """Where the agent of an assistant, or of a payload, comes from."""
    named = mapping_field(assistant, "metadata").get("agent_source")
    return AgentSource.CONFIGURATION if named == AgentSource.CONFIGURATION else AgentSource.CATALOGUE
