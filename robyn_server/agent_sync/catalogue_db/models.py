"""The models that the agents of the catalogue name."""

from __future__ import annotations

from collections import Counter
from typing import Any

from robyn_server.agent_sync.scope import AgentSyncScope

from .contract import CatalogueContract, probe_catalogue
from .queries import agents_query, bound, scope_conditions
from .reader import read_under_contract
from .source import STANDARD, CataloguePool, CatalogueSource

_COUNT = "select runtime_model_name as model, graph_id as graph, count(*) as agents from ({agents}) a group by 1, 2"


async def count_models(
    pool: CataloguePool, scope: AgentSyncScope, source: CatalogueSource = STANDARD
) -> Counter[tuple[str | None, str | None]]:
    """The number of active agents by model and graph. None: the default. Raises CatalogueUnavailable."""
    if scope.type == "none":
        return Counter()
    conditions, values = scope_conditions(scope)

    async def ask(contract: CatalogueContract) -> Any:
        query = _COUNT.format(agents=agents_query(source, contract, conditions, limit="all"))
        return await pool.fetch(*bound(query, **values))

    contract = await probe_catalogue(pool, source)
    contract.ensure_usable()
    _, rows = await read_under_contract(pool, source, contract, ask)
    return Counter({(row["model"] or None, row["graph"] or None): row["agents"] for row in rows})
