"""One agent, one assistant: create, update or skip, whoever else is doing the same at this moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import AgentSource, Superseded, SyncAction, SyncOutcome, changed_fields, field_of
from robyn_server.core.errors import AgenthallError, Conflict, NotFound
from robyn_server.core.principal import SYSTEM_OWNER
from robyn_server.metrics.definitions import WRITE_BACK_FAILURES

from .errors import AgentRejected
from .memory_ledger import ledger_of
from .model import AgentSyncData, AgentSyncResult
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .payload import _assistant_payload_for_agent, check_graph
from .protocols import AgentSyncLedgerProtocol, AssistantsProtocol, AssistantStorageProtocol, CataloguePool, is_readings
from .write_back import log_write_back_failure, reason_of, write_back

ATTEMPTS = 4
"""Looks at an assistant before giving up. A race is over after one more look; further ones mean that something keeps changing it."""


@dataclass(frozen=True, slots=True)
class SyncContext:
    """Where from, where to, and for whom: `owner_id` asks, `new_owner` owns what is created. `graphs` None: any are served."""

    pool: CataloguePool
    storage: AssistantStorageProtocol
    owner_id: str
    new_owner: str
    graphs: Collection[str] | None
    options: AgentSyncOptions

    @property
    def ledger(self) -> AgentSyncLedgerProtocol:
        return ledger_of(self.storage)


async def sync_single_agent(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    agent: AgentSyncData,
    owner_id: str,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> AgentSyncResult:
    """Makes the agent's assistant equal to it, owned by `owner_id` if it is new, and notes that in the ledger.

    Raises AgentRejected when the agent cannot be served, Conflict when the assistant's id is not to be had.
    """
    context = SyncContext(pool, storage, owner_id, owner_id, graphs, options)
    return await apply_and_note(context, agent)


async def apply_and_note(context: SyncContext, agent: AgentSyncData) -> AgentSyncResult:
    """As apply_agent; the outcome, good or bad, is in the ledger afterwards, and an owed write-back in the log."""
    try:
        result = await apply_agent(context, agent)
    except (AgentRejected, Conflict) as error:
        await context.ledger.record([failed(agent.agent_id, error)])
        raise
    await context.ledger.record([result.outcome()])
    if result.write_back_error is not None:
        log_write_back_failure(agent.agent_id, result.write_back_error)
    return result


async def apply_agent(context: SyncContext, agent: AgentSyncData) -> AgentSyncResult:
    """Makes the agent's assistant equal to it. Raises AgentRejected, and Conflict when the assistant's id is not to be had."""
    check_graph(agent, context.graphs)
    payload = _assistant_payload_for_agent(agent, context.options)
    action = await converge(context, payload)
    assistant_id = payload["assistant_id"]
    if not context.options.write_back or agent.langgraph_assistant_id == assistant_id:
        return AgentSyncResult(assistant_id=assistant_id, action=action)
    try:
        wrote = await write_back(context.pool, agent.agent_id, assistant_id, context.options.source)
    except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
        WRITE_BACK_FAILURES.inc()
        return AgentSyncResult(assistant_id=assistant_id, action=action, write_back_error=reason_of(error))
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


def failed(agent_id: UUID, error: Exception) -> SyncOutcome:
    """The failure's line in the ledger. What a stranger raised is named by its type, too."""
    reason = error.detail if isinstance(error, AgenthallError) else f"{type(error).__name__}: {error}"
    return SyncOutcome(agent_id, SyncAction.FAILED, failure=reason)


async def converge(context: SyncContext, payload: Mapping[str, Any]) -> SyncAction:
    """Looks and writes until what is there is what `payload` says. A Conflict says only that another was quicker.

    What a later reading has written stays: that is a skip. Raises Superseded where it wrote nothing that `payload` would serve.
    """
    assistants, assistant_id = context.storage.assistants, payload["assistant_id"]
    readings = getattr(context.storage, "readings", None)
    is_latest = not is_readings(readings) or await readings.claim(payload)
    for _ in range(ATTEMPTS):
        existing, owner = await find_assistant(assistants, assistant_id, context.owner_id)
        _check_source(payload, existing)
        if existing is not None and not is_latest:
            return SyncAction.SKIPPED
        if existing is not None and not is_retired(existing) and not changed_fields(existing, payload):
            return SyncAction.SKIPPED
        try:
            if existing is None:
                await assistants.create(payload, context.new_owner)
                return SyncAction.CREATED
            await assistants.update(assistant_id, payload, owner)
        except Superseded:
            if existing is None:
                raise
            return SyncAction.SKIPPED
        except Conflict:
            continue
        return SyncAction.UPDATED
    raise Conflict(f"Agent {assistant_id}: its assistant's id is taken by somebody else's, or keeps changing")


def _check_source(payload: Mapping[str, Any], existing: Any) -> None:
    """Raises AgentRejected when the id is that of an agent of the other source, which is in service."""
    if existing is None or is_retired(existing):
        return
    own, other = (source_of(each) for each in (payload, existing))
    if own != other:
        raise AgentRejected(UUID(payload["assistant_id"]), "agents.id", taken_by(other))


def source_of(assistant: Any) -> AgentSource:
    """Where the agent of an assistant, or of a payload, is from."""
    named = field_of(assistant, "agent_source") or (field_of(assistant, "metadata") or {}).get("agent_source")
    return AgentSource.CONFIGURATION if named == AgentSource.CONFIGURATION else AgentSource.CATALOGUE


def taken_by(other: AgentSource) -> str:
    """The reason of a failure: an id that both sources have."""
    return f"an agent of another source ({other}) has this id, and is served"
