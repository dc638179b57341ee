"""Reading the catalogue: one query per page, and every row judged on its own.

The query's output columns are named like the fields of AgentSyncData, plus `engine_id`, `engine_type` and `engine_found`.
JSON comes as text, so it reads the same whatever codecs a pool has. Engines are compared as text: products keep
`engine_id` as uuid or as text. Pages go by key, so memory is flat and a row that is added meanwhile moves no other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import structlog

from .contract import EXPECTED, CatalogueContract, probe_catalogue, reading_catalogue
from .errors import AgentRejected, ContractBroken
from .model import AgentSyncData
from .options import DEFAULT_OPTIONS
from .protocols import CataloguePool
from .rows import parse_agent, parse_agents
from .scope import AgentSyncScope

_QUERY = """
with page as (
  select a.id as agent_id, a.organization_id, a.name, a.system_prompt, a.engine_id::text as engine_id, {agent_columns}
    from public.agents a
   where {condition}
   order by a.id
   limit {limit}
), tools as (
  select l.agent_id, jsonb_agg(jsonb_build_object(
           'tool_id', l.mcp_tool_id, 'tool_found', t.id is not null, 'tool_name', t.tool_name,
           'endpoint_url', t.endpoint_url, {tool_columns}) order by l.mcp_tool_id)::text as mcp_tools
    from public.agent_mcp_tools l
    left join public.mcp_tools t on t.id = l.mcp_tool_id
   where l.agent_id in (select page.agent_id from page)
   group by l.agent_id
)
select page.*, e.id is not null as engine_found, m.runtime_model_name, tools.mcp_tools, now() as read_at
  from page
  left join public.global_ai_engines e on e.id::text = page.engine_id
  left join public.ai_models m on m.id::text = e.language_model_id::text
  left join tools on tools.agent_id = page.agent_id
 order by page.agent_id
"""
_OPTIONAL_OF_AGENT = {
    "description": "a.description",
    "is_global": "a.is_global",
    "sampling_params": "to_jsonb(a.sampling_params)::text",
    "assistant_tool_ids": "to_jsonb(a.assistant_tool_ids)::text",
    "langgraph_assistant_id": "a.langgraph_assistant_id::text",
    "graph_id": "a.graph_id",
    "engine_type": "a.engine_type::text",
}
_OPTIONAL_OF_TOOL = {"is_builtin": "t.is_builtin", "auth_required": "t.auth_required"}
_NEUTRAL = {"langgraph_assistant_id": "a.id::text"}
"""Where the column is absent there is nothing to write back: it reads as if that were done."""

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


async def fetch_active_agents(
    pool: CataloguePool, scope: AgentSyncScope, *, failures: list[AgentRejected] | None = None
) -> list[AgentSyncData]:
    """Every active agent in `scope`, by id. Bad rows go to `failures`, or into the log.

    Raises CatalogueUnavailable. Holds them all in memory: what has to stay small reads `agent_pages`.
    """
    rejected: list[AgentRejected] = [] if failures is None else failures
    agents = [agent async for page in agent_pages(pool, scope, rejected) for agent in page]
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
) -> AsyncGenerator[list[AgentSyncData], None]:
    """The agents of `scope` in pages; the bad rows of a page are in `failures` when the page is there."""
    if scope.type == "none":
        return
    contract, after = EXPECTED, None
    while True:
        asked, (contract, rows) = contract, await _read(pool, contract, _page(pool, scope, after, size))
        if contract != asked:
            _log.warning("the catalogue lacks optional columns", columns=list(contract.absent_columns))
        yield parse_agents(rows, failures)
        if len(rows) < size:
            return
        after = rows[-1]["agent_id"]


async def fetch_active_agent_by_id(
    pool: CataloguePool, agent_id: UUID, *, organizations: frozenset[UUID] | None = None
) -> AgentSyncData | None:
    """One active agent, or None. With `organizations` an agent of another one, or of none, is not even read.

    Raises CatalogueUnavailable, and AgentRejected for a row that cannot be served.
    """
    _, row = await _read(pool, EXPECTED, _one(pool, agent_id, organizations))
    return None if row is None else parse_agent(row)


def _page(
    pool: CataloguePool, scope: AgentSyncScope, after: UUID | None, size: int
) -> Callable[[CatalogueContract], Awaitable[Any]]:
    arguments: list[Any] = [size]
    conditions = []
    if scope.type == "org":
        arguments.append(scope.organization_ids)
        conditions.append(f"a.organization_id = any (${len(arguments)}::uuid[])")
    if after is not None:
        arguments.append(after)
        conditions.append(f"a.id > ${len(arguments)}")
    return lambda contract: pool.fetch(_query(contract, conditions, limit="$1"), *arguments)


def _one(
    pool: CataloguePool, agent_id: UUID, organizations: frozenset[UUID] | None
) -> Callable[[CatalogueContract], Awaitable[Any]]:
    arguments: list[Any] = [agent_id]
    conditions = ["a.id = $1"]
    if organizations is not None:
        arguments.append(sorted(organizations))
        conditions.append("a.organization_id = any ($2::uuid[])")
    return lambda contract: pool.fetchrow(_query(contract, conditions, limit="1"), *arguments)


async def _read(
    pool: CataloguePool, contract: CatalogueContract, ask: Callable[[CatalogueContract], Awaitable[_T]]
) -> tuple[CatalogueContract, _T]:
    """The answer, and the contract under which it was given: when the database refuses one, it is probed for the next."""
    try:
        async with reading_catalogue():
            return contract, await ask(contract)
    except ContractBroken:
        found = await probe_catalogue(pool)
        found.ensure_usable()
        if found.absent_columns == contract.absent_columns:
            raise
    async with reading_catalogue():
        return found, await ask(found)


def _query(contract: CatalogueContract, conditions: list[str], *, limit: str) -> str:
    alive = ["a.deleted_at is null"] if contract.has("agents.deleted_at") else []
    return _QUERY.format(
        agent_columns=", ".join(
            f"{source if contract.has(f'agents.{name}') else _NEUTRAL.get(name, 'null')} as {name}"
            for name, source in _OPTIONAL_OF_AGENT.items()
        ),
        tool_columns=", ".join(
            f"'{name}', {source if contract.has(f'mcp_tools.{name}') else 'null'}"
            for name, source in _OPTIONAL_OF_TOOL.items()
        ),
        condition=" and ".join(["a.status::text = 'active'", *alive, *conditions]),
        limit=limit,
    )
