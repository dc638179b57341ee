"""What the catalogue does not offer any more goes out of service: a pass over the ids of the whole scope, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from .catalogue_sql import ids_query
from .contract import CatalogueContract, probe_catalogue, reading_catalogue
from .errors import CatalogueAbsent
from .protocols import CataloguePool, RetirementProtocol, SharingProtocol, is_sharing
from .scope import AgentSyncScope
from .sharing import sharing_conditions, templates_in
from .source import STANDARD, CatalogueSource

_IDS_PER_PAGE = 5_000

RetireAbsent: TypeAlias = Callable[[UUID | None, UUID | None, Collection[UUID], datetime], Awaitable[int]]


async def retire_absent_agents(
    pool: CataloguePool,
    retirement: RetirementProtocol,
    scope: AgentSyncScope,
    source: CatalogueSource = STANDARD,
    *,
    templates: bool = False,
) -> int:
    """Retires every assistant of the catalogue whose agent is not active in `scope`; returns how many agents that were.

    With `templates` shared assistants are those of global agents only, and users' copies those of the others; without, nobody has a
    copy. With scope `none` nothing is known of the whole, and what is shared stays. Raises CatalogueUnavailable; then nothing was
    retired that is still offered: a page is applied only after it was read.
    """
    began = await retirement.clock()
    copies = retirement if is_sharing(retirement) else None
    retired = 0
    if copies is not None and not templates:
        retired += await copies.retire_absent_copies(None, None, [], began)
    if scope.type == "none":
        return retired + (0 if copies is None or not templates else await _end_sharing(pool, copies, source))
    shared = replace(scope, only="shared") if templates else scope
    retired += await _retire_pages(pool, retirement.retire_absent, shared, source, began)
    if copies is not None and templates:
        retired += await _retire_pages(pool, copies.retire_absent_copies, templates_in(scope), source, began)
    return retired


async def _retire_pages(
    pool: CataloguePool, retire_absent: RetireAbsent, scope: AgentSyncScope, source: CatalogueSource, began: datetime
) -> int:
    after, retired = None, 0
    async for ids in _active_ids(pool, scope, source):
        last = ids[-1] if len(ids) == _IDS_PER_PAGE else None  # after the last page comes nothing
        retired += await retire_absent(after, last, ids, began)
        after = last
    return retired


async def _end_sharing(pool: CataloguePool, retirement: SharingProtocol, source: CatalogueSource) -> int:
    """Without a scope, too, an agent that is a template now is not shared any more. Without a catalogue there are none."""
    try:
        pages = _active_ids(pool, templates_in(AgentSyncScope("all")), source)
        return sum([await retirement.retire_shared(ids) async for ids in pages])
    except CatalogueAbsent:
        return 0


async def _active_ids(
    pool: CataloguePool, scope: AgentSyncScope, source: CatalogueSource
) -> AsyncGenerator[list[UUID], None]:
    """The ids of active agents in order, in pages; the last one is shorter than a page, and may be empty."""
    contract = await probe_catalogue(pool, source)
    contract.ensure_usable()
    after: UUID | None = None
    while True:
        query, arguments = _query(source, contract, scope, after)
        async with reading_catalogue():
            ids = [row["id"] for row in await pool.fetch(query, *arguments)]
        yield ids
        if len(ids) < _IDS_PER_PAGE:
            return
        after = ids[-1]


def _query(
    source: CatalogueSource, contract: CatalogueContract, scope: AgentSyncScope, after: UUID | None
) -> tuple[str, list[Any]]:
    conditions = [f"($1::uuid is null or {source.key} > $1)", *sharing_conditions(scope)]
    arguments: list[Any] = [after]
    if scope.type == "org":
        arguments.append(scope.organization_ids)
        conditions.append("a.organization_id = any ($2::uuid[])")
    return ids_query(source, contract, conditions, limit=_IDS_PER_PAGE), arguments
