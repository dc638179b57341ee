"""The queries that read the catalogue. Both forms of the contract return the same columns.

Those of `agents_query` are the names of `fields.py`, plus `read_at`. `engine_id` is null where the agent names no
engine. Engines are compared as text, because products store `engine_id` as uuid or as text. Agents are called `a` in
conditions. Queries and conditions name their parameters (`:after`), and `bound` passes the values by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.agent_sync.sharing import contracted, sharing_conditions
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.storage.postgres.queries import Bound, Query

from .contract import CatalogueContract
from .fields import COLUMNS, OF_VIEW
from .source import CatalogueSource

_TABLES = """
with page as (
  select {agent_columns}
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
  left join public.global_ai_engines e on e.id::text = page.engine_id and coalesce(page.engine_type, 'global') = 'global'
  left join public.ai_models m on m.id::text = e.language_model_id::text
  left join tools on tools.agent_id = page.agent_id
 order by page.agent_id
"""
_VIEW = """
select {agent_columns}, ({engine_found})::text as engine_id, {engine_found} as engine_found, now() as read_at
  from {view} a
 where {condition}
 order by a.agent_id
 limit {limit}
"""
_OPTIONAL_OF_TOOL = {"is_builtin": "t.is_builtin", "auth_required": "t.auth_required"}
_MODEL_OR_TYPE = (
    "case when a.runtime_model_name is not null then true when a.engine_type::text <> 'global' then false end"
)
_MODEL_ALONE = "case when a.runtime_model_name is not null then true end"
"""Default for a view without `engine_found`: an engine that is not global and has no model counts as missing."""

_EDITS_OF_TABLES = {
    "agents": "select a.id as agent_id, {moment} as moment from public.agents a where {lately}",
    "agent_mcp_tools": "select a.agent_id, {moment} from public.agent_mcp_tools a where {lately}",
    "mcp_tools": """select l.agent_id, {moment} from public.mcp_tools a
        join public.agent_mcp_tools l on l.mcp_tool_id = a.id where {lately}""",
    "global_ai_engines": """select g.id, {moment} from public.global_ai_engines a
        join public.agents g on g.engine_id::text = a.id::text where {lately}""",
    "ai_models": """select g.id, {moment} from public.ai_models a
        join public.global_ai_engines e on e.language_model_id::text = a.id::text
        join public.agents g on g.engine_id::text = e.id::text where {lately}""",
}
_EDITS_OF_VIEW = "select a.agent_id, {moment} as moment from {view} a where {lately}"
_EDITS = """
with edited as ({edited})
select edited.agent_id, max(edited.moment)::text as moment from edited where edited.agent_id is not null
 group by edited.agent_id order by max(edited.moment) desc, edited.agent_id limit :limit
"""

OF_ORGANIZATIONS = "a.organization_id = any (:organization_ids::uuid[])"


def scope_conditions(scope: AgentSyncScope) -> tuple[list[str], dict[str, Any]]:
    """The conditions on the agents of `scope`, and their values by name."""
    conditions = sharing_conditions(scope)
    if scope.type != "org":
        return conditions, {}
    return [*conditions, OF_ORGANIZATIONS], {"organization_ids": scope.organization_ids}


def agents_query(source: CatalogueSource, contract: CatalogueContract, conditions: Sequence[str], *, limit: str) -> str:
    """Active agents by id. `limit` is a number, a parameter, or `all`."""
    columns = _columns(source, contract)
    if source.view is not None:
        return _VIEW.format(
            view=source.view,
            agent_columns=columns if source.origin is AgentSource.CATALOGUE else f"{columns}, a.registry_id",
            engine_found=_engine_found(contract),
            condition=_where(source, contract, conditions),
            limit=limit,
        )
    return _TABLES.format(
        agent_columns=columns,
        tool_columns=", ".join(
            f"'{name}', {text if contract.has(f'mcp_tools.{name}') else 'null'}"
            for name, text in _OPTIONAL_OF_TOOL.items()
        ),
        condition=_where(source, contract, conditions),
        limit=limit,
    )


def ids_query(source: CatalogueSource, contract: CatalogueContract, conditions: Sequence[str], *, limit: int) -> str:
    """`id` of active agents, in order."""
    relation = source.view or "public.agents"
    where = _where(source, contract, conditions)
    return f"select {source.key} as id from {relation} a where {where} order by {source.key} limit {limit}"


def edits_query(source: CatalogueSource, clocks: Mapping[str, bool]) -> str:
    """{agent_id, moment} of up to `:limit` agents edited after `:since`, the latest first.

    `clocks`: as in CatalogueContract.
    """
    if source.view is not None:
        return _EDITS.format(edited=_EDITS_OF_VIEW.format(view=source.view, **_moment(zoned=clocks["updated_at"])))
    parts = [
        text.format(**_moment(zoned=clocks[f"{table}.updated_at"]))
        for table, text in _EDITS_OF_TABLES.items()
        if f"{table}.updated_at" in clocks
    ]
    return _EDITS.format(edited="\nunion all\n".join(parts))


def bound(query: str, **values: Any) -> Bound:
    """Bind values to a query by name, for `pool.fetch(*bound(...))`.

    Raises TypeError unless each parameter has a value.
    """
    return _parsed(query).bind(**values)


@lru_cache(maxsize=128)
def _parsed(query: str) -> Query:
    return Query.parse("catalogue", query)


def _columns(source: CatalogueSource, contract: CatalogueContract) -> str:
    """The fields that are columns; `engine_found` of a view is computed where the column is absent."""
    if source.view is None:
        columns = {field: (f"agents.{field.column}", str(field.column)) for field in COLUMNS}
    else:
        columns = {field: (field.name, field.name) for field in OF_VIEW if field.name != "engine_found"}
    # without a column to write to there is nothing to write back: it reads as if that were done
    neutral = {"langgraph_assistant_id": f"{source.key}::text"}
    return ", ".join(
        f"{field.form.format(column) if contract.has(name) else neutral.get(field.name, 'null::text')} as {field.name}"
        for field, (name, column) in columns.items()
    )


def _engine_found(contract: CatalogueContract) -> str:
    if contract.has("engine_found"):
        return "a.engine_found"
    return _MODEL_OR_TYPE if contract.has("engine_type") else _MODEL_ALONE


def _where(source: CatalogueSource, contract: CatalogueContract, conditions: Sequence[str]) -> str:
    """A view returns active agents only; in the tables they are selected."""
    conditions = contracted(contract, conditions)
    if source.view is not None:
        return " and ".join(conditions) or "true"
    alive = ["a.deleted_at is null"] if contract.has("agents.deleted_at") else []
    return " and ".join(["a.status::text = 'active'", *alive, *conditions])


def _moment(*, zoned: bool) -> dict[str, str]:
    """A column without a time zone is taken to be in UTC.

    It is compared unchanged, so that an index on it can be used.
    """
    since = ":since::timestamptz" if zoned else "(:since::timestamptz at time zone 'UTC')"
    moment = "a.updated_at" if zoned else "a.updated_at at time zone 'UTC'"
    return {"moment": moment, "lately": f"a.updated_at > {since}"}
