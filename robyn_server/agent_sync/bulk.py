"""The bulk path: pages of fingerprints, and only what differs is read, mapped and written, a page in one statement.

Rules
  1. Where nothing changed, nothing but fingerprints is read, and no assistant is written; the TTL is renewed.
  2. A fingerprint is stored together with the content that it was read with, in one statement, never with a later or an earlier one.
  3. A batch that the database refuses is halved until the bad row stands alone. That one, and whoever is still in somebody else's
     hands after a few looks, goes the way of single agents: so its reason is the same, and the others are untouched.
  4. Memory is a page, whatever the size of the catalogue.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import SyncAction, SyncOutcome
from robyn_server.core.errors import Unavailable

from .ahead import ahead
from .books import Books
from .bulk_write_back import write_back_page
from .fingerprints import Fingerprint, FingerprintedCatalogue, mapping_fingerprint
from .mapped_rows import Batch, Item, map_rows
from .one_by_one import sync_each
from .protocols import BulkAssistantsProtocol
from .rows import parse_agent
from .scope import AgentSyncScope
from .single import ATTEMPTS, SyncContext

FINGERPRINTS_PER_AGENT = 2
"""A page of fingerprints is so much longer than one of agents. Larger ones take no less: the catalogue sorts them on disk then."""


async def sync_in_bulk(context: SyncContext, bulk: BulkAssistantsProtocol, scope: AgentSyncScope, books: Books) -> None:
    """The whole scope. Raises CatalogueUnavailable, and Unavailable when the storage is away; what was synced until then stays.

    Three things go on at once: a page of fingerprints is read, what differs in the one before is mapped, the batch before is applied.
    """
    sync = _BulkSync(context, bulk, scope, books)
    async with aclosing(ahead(sync.batches())) as batches:
        async for batch in batches:
            await sync.apply(batch)


class _BulkSync:
    def __init__(self, context: SyncContext, bulk: BulkAssistantsProtocol, scope: AgentSyncScope, books: Books) -> None:
        self._catalogue = FingerprintedCatalogue(
            context.pool, scope, mapping_fingerprint(context.options, context.graphs), context.options.source
        )
        self._context = context
        self._bulk = bulk
        self._books = books

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """What differs, read and mapped, `page_size` agents at a time."""
        size = self._context.options.page_size
        async with aclosing(ahead(self._catalogue.pages(size * FINGERPRINTS_PER_AGENT))) as pages:
            async for page in pages:
                changed = await self._changed(page)
                self._catalogue.with_rows = len(changed) == len(page)
                for start in range(0, len(changed), size):
                    yield await map_rows(self._context, await self._rows(changed[start : start + size]))

    async def apply(self, batch: Batch) -> None:
        await self._books.note(batch.failures)
        left = [parse_agent(item.row) for item in await self._apply(batch.items)]
        if left:
            await self._books.note(await sync_each(self._context, left, self._books))

    async def _rows(self, changed: Sequence[Fingerprint]) -> Sequence[Any]:
        rows = [each.row for each in changed]
        return await self._catalogue.rows([each.agent_id for each in changed]) if None in rows else rows

    async def _changed(self, page: Sequence[Fingerprint]) -> list[Fingerprint]:
        """Those of `page` that have to be looked at; the others are done with."""
        fingerprints = {each.agent_id: each.value for each in page}
        unchanged = await self._bulk.unchanged(fingerprints, self._context.owner_id, page[0].read_at)
        self._books.counts[SyncAction.SKIPPED] += len(unchanged)
        untold = [each.agent_id for each in page if each.agent_id in unchanged and not each.is_written_back]
        await self._write_back(dict.fromkeys(untold, SyncAction.SKIPPED))
        return [each for each in page if each.agent_id not in unchanged]

    async def _apply(self, items: Sequence[Item], attempts: int = ATTEMPTS) -> list[Item]:
        """Applies what can be applied by the batch; returns what is left for single agents."""
        if not items or not attempts:
            return list(items)
        try:
            actions = await self._bulk.apply(
                [(each.payload, each.row["fingerprint"]) for each in items], self._context.owner_id
            )
        except Unavailable:
            if attempts == 1:
                raise
            return await self._apply(items, 1)
        except Exception:  # noqa: BLE001  whatever it is about one of them: the half without it will do
            if len(items) == 1:
                return list(items)
            half = len(items) // 2
            return await self._apply(items[:half], attempts) + await self._apply(items[half:], attempts)
        await self._settled(items, actions)
        return await self._apply([each for each in items if each.row["agent_id"] not in actions], attempts - 1)

    async def _settled(self, items: Sequence[Item], actions: Mapping[UUID, SyncAction]) -> None:
        """These are in the ledger already."""
        self._books.counts.update(actions.values())
        untold = [
            each.row["agent_id"] for each in items if each.row["langgraph_assistant_id"] != each.payload["assistant_id"]
        ]
        await self._write_back({agent_id: actions[agent_id] for agent_id in untold if agent_id in actions})

    async def _write_back(self, actions: Mapping[UUID, SyncAction]) -> None:
        """Tells the catalogue; what it does not take is owed."""
        if not self._context.options.write_back or not actions:
            return
        owed = await write_back_page(self._context.pool, list(actions), self._context.options.source)
        for agent_id, reason in owed.items():
            self._books.tell_owed(agent_id, reason)
        await self._books.note_owed(
            [SyncOutcome(agent_id, actions[agent_id], agent_id, write_back_pending=True) for agent_id in owed]
        )
