"""Template agents (AGENT_SYNC_TEMPLATES): each user who references one has a copy of it, an assistant of their own.

Rules
  1. A copy's id follows from its agent and its user, so two first references at once make one row.
  2. All copies of an agent have the same content: a sync of the agent updates every copy, in one statement, and the
     ledger has one line for all. A storage that cannot do that has a line for each copy, which is refreshed on its own.
  3. An agent is shared or a template, never both: what it was before goes out of service and keeps its history.
  4. Nothing is written back: the catalogue has one column, and a template has many assistants.
  5. In a full pass, a template that nobody has referenced is neither read nor counted. One with copies counts as one
     agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from robyn_server.agent_sync.catalogue_db.fingerprints import FingerprintedCatalogue, mapping_fingerprint
from robyn_server.agent_sync.errors import AgentRejected
from robyn_server.agent_sync.model import AgentSyncData, AgentSyncResult
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.agent_sync.sharing import is_template, templates_in
from robyn_server.agent_sync.store import AssistantsProtocol, SyncStore
from robyn_server.core.access.principal import SYSTEM_OWNER
from robyn_server.core.catalogue.fields import SyncAction, SyncOutcome, mapping_field
from robyn_server.core.errors import Unavailable
from robyn_server.core.ids import find_uuid, user_assistant_id

from .pages import map_rows
from .recorder import SyncRecorder
from .single import SyncContext, apply_and_record, converge, failed, find_assistant


async def sync_agent(context: SyncContext, agent: AgentSyncData) -> SyncOutcome:
    """Make whatever serves the agent equal to it, the shared assistant or users' copies, and record that in the ledger.

    MISSING: it was shared, and no user has a copy yet. Raises AgentRejected, and Conflict when an assistant's id is not
    available.
    """
    if not is_template(agent, context.options):
        return (await apply_shared(context, agent)).outcome()
    was_shared = await context.store.retire_shared([agent.agent_id]) > 0
    written = await _update_copies(context, context.payload(agent))
    # where nobody has a copy, MISSING clears an old failure: it is not true any more
    await context.store.record([SyncOutcome(agent.agent_id, written or SyncAction.MISSING)])
    action = written or (SyncAction.MISSING if was_shared else SyncAction.SKIPPED)
    return SyncOutcome(agent.agent_id, action, name=agent.name)


async def apply_shared(context: SyncContext, agent: AgentSyncData, *, is_new: bool = False) -> AgentSyncResult:
    """As apply_and_record, and users' copies go out of service."""
    result = await apply_and_record(context, agent, is_new=is_new)
    await retire_copies(context, agent.agent_id)
    return result


async def retire_copies(context: SyncContext, agent_id: UUID) -> None:
    if context.options.templates:  # without templates nobody has a copy: each full pass sees to that
        await context.store.retire_copies([agent_id])


async def apply_copy(context: SyncContext, agent: AgentSyncData) -> AgentSyncResult:
    """Make the copy of `context.owner_id` equal to its agent, and every other user's copy too; record that in the
    ledger.

    Raises AgentRejected, and Conflict when the copy's id is taken by something else.
    """
    copy_id = user_assistant_id(agent.agent_id, context.owner_id)
    ledger_id = context.store.copy_ledger_id(agent.agent_id, copy_id)
    try:
        payload = context.payload(agent)
    except AgentRejected as rejection:
        await context.store.record([failed(ledger_id, rejection)])
        raise
    await context.store.retire_shared([agent.agent_id])
    written = await _update_copies(context, payload)
    action = await converge(replace(context, new_owner=context.owner_id), {**payload, "assistant_id": str(copy_id)})
    if action is SyncAction.SKIPPED and written is SyncAction.UPDATED:
        action = SyncAction.UPDATED
    await context.store.record([SyncOutcome(ledger_id, action)])
    return AgentSyncResult(assistant_id=str(copy_id), action=action)


async def find_copy(assistants: AssistantsProtocol, identifier: UUID, owner_id: str) -> tuple[UUID, Any] | None:
    """(agent, assistant) of `owner_id`'s copy, in service or not; `identifier` is the agent's id or the copy's own."""
    if owner_id == SYSTEM_OWNER:
        return None
    for candidate in (user_assistant_id(identifier, owner_id), identifier):
        found, _ = await find_assistant(assistants, str(candidate), owner_id)
        agent_id = find_uuid(str(mapping_field(found, "metadata").get("supabase_agent_id")))
        if agent_id is not None and user_assistant_id(agent_id, owner_id) == candidate:
            return agent_id, found
    return None


async def _update_copies(context: SyncContext, payload: Mapping[str, Any]) -> SyncAction | None:
    """None: there is no copy that this store knows of."""
    return (await context.store.update_copies([payload])).get(UUID(payload["assistant_id"]))


async def sync_copies(context: SyncContext, scope: AgentSyncScope, recorder: SyncRecorder) -> None:
    """Update the copies of all templates of `scope`, a page of agents at a time.

    Raises CatalogueUnavailable, and Unavailable when the store is away; what was synced until then stays.
    """
    mapping = mapping_fingerprint(context.options, context.graphs)
    catalogue = FingerprintedCatalogue(context.pool, templates_in(scope), mapping, context.options.source)
    after = None
    while ids := await context.store.copied_agents(after, context.options.page_size):
        page = await map_rows(context, await catalogue.rows(ids))
        await recorder.record(page.failures)
        outcomes = await _update_page(context.store, [agent.payload for agent in page.agents])
        await recorder.record([each for each in outcomes if each.action is not SyncAction.MISSING])
        # corrected, and without any copy: its old failure is not true any more
        await context.store.record([each for each in outcomes if each.action is SyncAction.MISSING])
        after = ids[-1]


async def _update_page(store: SyncStore, payloads: Sequence[Mapping[str, Any]]) -> list[SyncOutcome]:
    """Update all at once; when that is refused, one agent after another, so that the bad one stands alone."""
    if not payloads:
        return []
    agent_ids = [UUID(payload["assistant_id"]) for payload in payloads]
    try:
        actions = await store.update_copies(payloads)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  one of them is refused: the others can be updated without it
        if len(payloads) == 1:
            return [failed(agent_ids[0], error, payloads[0]["name"])]
        return [outcome for payload in payloads for outcome in await _update_page(store, [payload])]
    return [SyncOutcome(agent_id, actions.get(agent_id, SyncAction.MISSING)) for agent_id in agent_ids]
