"""The URLs of the MCP servers that the agents of the catalogue use."""

from __future__ import annotations

from typing import Any

from robyn_server.agent_sync.scope import AgentSyncScope

from .contract import CatalogueContract, probe_catalogue
from .queries import agents_query, bound, scope_conditions
from .reader import read_under_contract
from .source import STANDARD, CataloguePool, CatalogueSource

_COUNT = """
select tool ->> 'endpoint_url' as url, count(distinct a.agent_id) as agents
  from ({agents}) a
 cross join jsonb_array_elements(case when jsonb_typeof(a.mcp_tools::jsonb) = 'array' then a.mcp_tools::jsonb end) tool
 where tool ->> 'endpoint_url' is not null
 group by 1 order by 2 desc, 1 limit :most
"""


async def count_tool_servers(
    pool: CataloguePool, scope: AgentSyncScope, source: CatalogueSource = STANDARD, *, most: int
) -> dict[str, int]:
    """The number of active agents by URL, for the `most` URLs with most agents. Raises CatalogueUnavailable."""
    if scope.type == "none":
        return {}
    conditions, values = scope_conditions(scope)

    async def ask(contract: CatalogueContract) -> Any:
        query = _COUNT.format(agents=agents_query(source, contract, conditions, limit="all"))
        return await pool.fetch(*bound(query, **values, most=most))

    contract = await probe_catalogue(pool, source)
    contract.ensure_usable()
    _, rows = await read_under_contract(pool, source, contract, ask)
    return {row["url"]: row["agents"] for row in rows}
