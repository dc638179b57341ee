"""Reading the catalogue: one query per page, and every row judged on its own.

Pages go by key, so memory is flat and a row that is added meanwhile moves no other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog

from .catalogue_sql import agents_query, ids_query
from .contract import CatalogueContract, last_found, probe_catalogue, reading_catalogue
from .errors import AgentRejected, ContractBroken
from .model import AgentSyncData
from .options import DEFAULT_OPTIONS
from .protocols import CataloguePool
from .rows import parse_agent, parse_agents
from .scope import AgentSyncScope
from .sharing import sharing_conditions
from .source import STANDARD, CatalogueSource

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


async def fetch_active_agents(
    pool: CataloguePool,
    scope: AgentSyncScope,
    *,
    failures: list[AgentRejected] | None = None,
    source: CatalogueSource = STANDARD,
) -> list[AgentSyncData]:
    """Every active agent in `scope`, by id. Bad rows go to `failures`, or into the log.

    Raises CatalogueUnavailable. Holds them all in memory: what has to stay small reads `agent_pages`.
    """
    rejected: list[AgentRejected] = [] if failures is None else failures
    agents = [agent async for page in agent_pages(pool, scope, rejected, source=source) for agent in page]
    if failures is None:
        for rejection in rejected:
            _log.warning("agent rejected", agent_id=str(rejection.agent_id), reason=rejection.detail)
    return agents


async def agent_pages(
    pool: CataloguePool,
    scope: AgentSyncScope,
    failures: list[AgentRejected],
    *,
    size: int = DEFAULT_OPTIONS.page_size,
    source: CatalogueSource = STANDARD,
) -> AsyncGenerator[list[AgentSyncData], None]:
    """The agents of `scope` in pages; the bad rows of a page are in `failures` when the page is there."""
    if scope.type == "none":
        return
    contract, after = last_found(pool, source), None
    while True:
        contract, rows = await read_under_contract(
            pool, source, contract, page_of_agents(pool, source, scope, after, size)
        )
        yield parse_agents(rows, failures)
        if len(rows) < size:
            return
        after = rows[-1]["agent_id"]


async def fetch_active_agent_by_id(
    pool: CataloguePool,
    agent_id: UUID,
    *,
    organizations: frozenset[UUID] | None = None,
    source: CatalogueSource = STANDARD,
) -> AgentSyncData | None:
    """One active agent, or None. With `organizations` an agent of another one, or of none, is not even read.

    Raises CatalogueUnavailable, and AgentRejected for a row that cannot be served.
    """
    _, row = await read_under_contract(
        pool, source, last_found(pool, source), _one(pool, source, agent_id, organizations)
    )
    if row is None:
        (await probe_catalogue(pool, source)).ensure_usable()  # what row-level security hides is not gone
        return None
    return parse_agent(row)


async def absent_since(pool: CataloguePool, agent_id: UUID, source: CatalogueSource = STANDARD) -> datetime | None:
    """When it was found, by the catalogue database's clock, that there is no such active agent; None: there is.

    Raises CatalogueUnavailable.
    """

    def ask(contract: CatalogueContract) -> Awaitable[Any]:
        one = ids_query(source, contract, [f"{source.key} = $1"], limit=1)
        return pool.fetchrow(f"select now() as read_at, exists ({one}) as is_there", agent_id)

    _, row = await read_under_contract(pool, source, last_found(pool, source), ask)
    found_at: datetime = row["read_at"]
    return None if row["is_there"] else found_at


def page_of_agents(
    pool: CataloguePool, source: CatalogueSource, scope: AgentSyncScope, after: UUID | None, size: int
) -> Callable[[CatalogueContract], Awaitable[Any]]:
    """Reads, under a contract, the `size` agents after `after` (None: the first) as rows for `parse_agent`."""
    arguments: list[Any] = [size]
    conditions = sharing_conditions(scope)
    if scope.type == "org":
        arguments.append(scope.organization_ids)
        conditions.append(f"a.organization_id = any (${len(arguments)}::uuid[])")
    if after is not None:
        arguments.append(after)
        conditions.append(f"{source.key} > ${len(arguments)}")
    return lambda contract: pool.fetch(agents_query(source, contract, conditions, limit="$1"), *arguments)


def _one(
    pool: CataloguePool, source: CatalogueSource, agent_id: UUID, organizations: frozenset[UUID] | None
) -> Callable[[CatalogueContract], Awaitable[Any]]:
    arguments: list[Any] = [agent_id]
    conditions = [f"{source.key} = $1"]
    if organizations is not None:
        arguments.append(sorted(organizations))
        conditions.append("a.organization_id = any ($2::uuid[])")
    return lambda contract: pool.fetchrow(agents_query(source, contract, conditions, limit="1"), *arguments)


async def read_under_contract(
    pool: CataloguePool,
    source: CatalogueSource,
    contract: CatalogueContract,
    ask: Callable[[CatalogueContract], Awaitable[_T]],
) -> tuple[CatalogueContract, _T]:
    """The answer, and the contract under which it was given: when the database refuses one, it is probed for the next.

    Raises CatalogueUnavailable.
    """
    try:
        async with reading_catalogue():
            return contract, await ask(contract)
    except ContractBroken:
        found = await probe_catalogue(pool, source)
        found.ensure_usable()
        if found.absent_columns == contract.absent_columns:
            raise
    _log.warning("the catalogue lacks optional columns", columns=list(found.absent_columns))
    async with reading_catalogue():
        return found, await ask(found)
