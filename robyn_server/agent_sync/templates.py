"""Template agents (AGENT_SYNC_TEMPLATES): each user who references one has a copy of it, an assistant of their own.

Rules
  1. A copy's id follows from its agent and its user, so two first references at once make one row.
  2. All copies of an agent are one piece of content: whoever reads the agent brings every copy up to date, in one statement, and the
     ledger has one line for them. A storage that cannot do that (CopiesProtocol) has a line for each copy, refreshed on its own.
  3. An agent is shared or a template, never both: what it was before goes out of service and keeps its history.
  4. Nothing is written back: the catalogue has one column, and a template has many assistants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import SyncAction, SyncOutcome, field_of
from robyn_server.core.ids import find_uuid, user_assistant_id
from robyn_server.core.principal import SYSTEM_OWNER

from .errors import AgentRejected
from .model import AgentSyncData, AgentSyncResult
from .payload import _assistant_payload_for_agent, check_graph
from .protocols import AssistantsProtocol, is_copies, is_sharing
from .sharing import is_template
from .single import SyncContext, apply_and_note, converge, failed, find_assistant


async def sync_as_it_is(context: SyncContext, agent: AgentSyncData) -> SyncOutcome:
    """Makes whatever serves the agent equal to it, the shared assistant or users' copies; it is in the ledger then.

    MISSING: it was shared, and no user has a copy yet. Raises AgentRejected, and Conflict when an assistant's id is not to be had.
    """
    if is_template(agent, context.options):
        return await _sync_copies(context, agent)
    return (await apply_shared(context, agent)).outcome()


async def apply_shared(context: SyncContext, agent: AgentSyncData) -> AgentSyncResult:
    """As apply_and_note, and nobody has a copy any more."""
    result = await apply_and_note(context, agent)
    await end_copies(context, agent.agent_id)
    return result


async def end_copies(context: SyncContext, agent_id: UUID) -> None:
    retirement = getattr(context.storage, "retirement", None)
    if is_sharing(retirement):
        await retirement.retire_copies([agent_id])


async def apply_copy(context: SyncContext, agent: AgentSyncData) -> AgentSyncResult:
    """The copy of `context.owner_id`, new or up to date, and every other's with it; that is in the ledger then.

    Raises AgentRejected, and Conflict when the copy's id is taken by something else.
    """
    line = line_of(context.storage, agent.agent_id, context.owner_id)
    try:
        payload = _payload(context, agent)
    except AgentRejected as rejection:
        await context.ledger.record([failed(line, rejection)])
        raise
    written = await _refresh(context, payload)
    own = {**payload, "assistant_id": str(user_assistant_id(agent.agent_id, context.owner_id))}
    action = await converge(replace(context, new_owner=context.owner_id), own)
    if action is SyncAction.SKIPPED and written is SyncAction.UPDATED:
        action = SyncAction.UPDATED
    await context.ledger.record([SyncOutcome(line, action)])
    return AgentSyncResult(assistant_id=own["assistant_id"], action=action)


async def find_copy(assistants: AssistantsProtocol, identifier: UUID, owner_id: str) -> tuple[UUID, Any] | None:
    """(agent, assistant) of `owner_id`'s copy, in service or not; `identifier` is the agent's id or the copy's own."""
    if owner_id == SYSTEM_OWNER:
        return None
    for candidate in (user_assistant_id(identifier, owner_id), identifier):
        found, _ = await find_assistant(assistants, str(candidate), owner_id)
        agent_id = find_uuid(str((field_of(found, "metadata") or {}).get("supabase_agent_id")))
        if agent_id is not None and user_assistant_id(agent_id, owner_id) == candidate:
            return agent_id, found
    return None


def line_of(storage: Any, agent_id: UUID, owner_id: str) -> UUID:
    """What the ledger calls `owner_id`'s copy; see rule 2."""
    return agent_id if is_copies(getattr(storage, "copies", None)) else user_assistant_id(agent_id, owner_id)


async def _sync_copies(context: SyncContext, agent: AgentSyncData) -> SyncOutcome:
    was_shared = await _end_sharing(context, agent.agent_id)
    written = await _refresh(context, _payload(context, agent))
    # of an agent that nobody has a copy of nothing is told, and an old failure is no longer true
    await context.ledger.record([SyncOutcome(agent.agent_id, written or SyncAction.MISSING)])
    return SyncOutcome(agent.agent_id, written or (SyncAction.MISSING if was_shared else SyncAction.SKIPPED))


async def _refresh(context: SyncContext, payload: Mapping[str, Any]) -> SyncAction | None:
    """Every copy that there is. None: there is none that this storage knows of."""
    agent_id = UUID(payload["assistant_id"])
    await _end_sharing(context, agent_id)
    copies = getattr(context.storage, "copies", None)
    return (await copies.update([payload])).get(agent_id) if is_copies(copies) else None


async def _end_sharing(context: SyncContext, agent_id: UUID) -> bool:
    retirement = getattr(context.storage, "retirement", None)
    return is_sharing(retirement) and await retirement.retire_shared([agent_id]) > 0


def _payload(context: SyncContext, agent: AgentSyncData) -> dict[str, Any]:
    check_graph(agent, context.graphs)
    return _assistant_payload_for_agent(agent, context.options)
