"""Users' copies of template agents in a pass over the whole scope: those that there are, by the page of agents.

A template that nobody has referenced yet is not looked at and not counted. One that users have copies of counts as one agent,
however many they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import SyncAction, SyncOutcome
from robyn_server.core.errors import Unavailable

from .books import Books
from .fingerprints import FingerprintedCatalogue, mapping_fingerprint
from .mapped_rows import map_rows
from .options import AgentSyncOptions
from .protocols import CataloguePool, CopiesProtocol, is_copies
from .scope import AgentSyncScope
from .sharing import templates_in
from .single import SyncContext, failed


async def sync_copies(context: SyncContext, scope: AgentSyncScope, books: Books) -> None:
    """Raises CatalogueUnavailable, and Unavailable when the storage is away; what was synced until then stays."""
    copies = getattr(context.storage, "copies", None)
    if not is_copies(copies):
        return
    catalogue, after = template_catalogue(context.pool, scope, context.graphs, context.options), None
    while ids := await copies.agents(after, context.options.page_size):
        batch = await map_rows(context, await catalogue.rows(ids))
        payloads = [item.payload for item in batch.items]
        await books.note(batch.failures)
        outcomes = await _update(copies, payloads)
        await books.note([each for each in outcomes if each.action is not SyncAction.MISSING])
        # mended, and without any copy: its old failure is no longer true
        await context.ledger.record([each for each in outcomes if each.action is SyncAction.MISSING])
        after = ids[-1]


def template_catalogue(
    pool: CataloguePool, scope: AgentSyncScope, graphs: Collection[str] | None, options: AgentSyncOptions
) -> FingerprintedCatalogue:
    """The templates of `scope`, to be read by their ids."""
    return FingerprintedCatalogue(pool, templates_in(scope), mapping_fingerprint(options, graphs), options.source)


async def _update(copies: CopiesProtocol, payloads: Sequence[Mapping[str, Any]]) -> list[SyncOutcome]:
    """All at once; when that is refused, one agent after another, so that the bad one stands alone."""
    if not payloads:
        return []
    agent_ids = [UUID(payload["assistant_id"]) for payload in payloads]
    try:
        actions = await copies.update(payloads)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is about one of them: the others can do without it
        if len(payloads) == 1:
            return [failed(agent_ids[0], error)]
        return [outcome for payload in payloads for outcome in await _update(copies, [payload])]
    return [SyncOutcome(agent_id, actions.get(agent_id, SyncAction.MISSING)) for agent_id in agent_ids]
