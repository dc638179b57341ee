"""What the catalogue does not offer any more goes out of service: a pass over the ids of the whole scope, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from .contract import CatalogueContract, probe_catalogue, reading_catalogue
from .protocols import CataloguePool, RetirementProtocol
from .scope import AgentSyncScope

_IDS_PER_PAGE = 5_000


async def retire_absent_agents(pool: CataloguePool, retirement: RetirementProtocol, scope: AgentSyncScope) -> int:
    """Retires every assistant of the catalogue whose agent is not active in `scope`; returns how many.

    With scope `none` nothing is known of the whole, and nothing is retired. Raises CatalogueUnavailable; then nothing was retired
    that is still offered: a page is applied only after it was read.
    """
    if scope.type == "none":
        return 0
    began, after, retired = await retirement.clock(), None, 0
    async for ids in _active_ids(pool, scope):
        last = ids[-1] if len(ids) == _IDS_PER_PAGE else None  # after the last page comes nothing
        retired += await retirement.retire_absent(after, last, ids, began)
        after = last
    return retired


async def _active_ids(pool: CataloguePool, scope: AgentSyncScope) -> AsyncGenerator[list[UUID], None]:
    """The ids of active agents in order, in pages; the last one is shorter than a page, and may be empty."""
    contract = await probe_catalogue(pool)
    contract.ensure_usable()
    after: UUID | None = None
    while True:
        query, arguments = _query(contract, scope, after)
        async with reading_catalogue():
            ids = [row["id"] for row in await pool.fetch(query, *arguments)]
        yield ids
        if len(ids) < _IDS_PER_PAGE:
            return
        after = ids[-1]


def _query(contract: CatalogueContract, scope: AgentSyncScope, after: UUID | None) -> tuple[str, list[Any]]:
    conditions = ["a.status::text = 'active'", "($1::uuid is null or a.id > $1)"]
    arguments: list[Any] = [after]
    if contract.has("agents.deleted_at"):
        conditions.append("a.deleted_at is null")
    if scope.type == "org":
        arguments.append(scope.organization_ids)
        conditions.append("a.organization_id = any ($2::uuid[])")
    where = " and ".join(conditions)
    return f"select a.id from public.agents a where {where} order by a.id limit {_IDS_PER_PAGE}", arguments
