"""The queries that read the catalogue, for both forms of its contract. Whatever the form, they give the same columns.

Those of `agents_query` are named like the fields of AgentSyncData, plus `engine_id` (null: the agent names no engine), `engine_type` and
`engine_found`. JSON comes as text, so it reads the same whatever codecs a pool has. Engines are compared as text: products keep
`engine_id` as uuid or as text. Agents are called `a` in conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robyn_server.core.catalogue import AgentSource

from .contract import CatalogueContract
from .sharing import contracted
from .source import CatalogueSource

_TABLES = """
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
  left join public.global_ai_engines e on e.id::text = page.engine_id and coalesce(page.engine_type, 'global') = 'global'
  left join public.ai_models m on m.id::text = e.language_model_id::text
  left join tools on tools.agent_id = page.agent_id
 order by page.agent_id
"""
_VIEW = """
select a.agent_id, a.organization_id, a.name, a.system_prompt, ({engine_found})::text as engine_id, {agent_columns},
       {engine_found} as engine_found, a.runtime_model_name, a.mcp_tools::text as mcp_tools, now() as read_at
  from {view} a
 where {condition}
 order by a.agent_id
 limit {limit}
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
_MODEL_OR_TYPE = (
    "case when a.runtime_model_name is not null then true when a.engine_type::text <> 'global' then false end"
)
_MODEL_ALONE = "case when a.runtime_model_name is not null then true end"
"""What a view says that does not say whether it found the engine: a private one without a model was not found."""

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
 group by edited.agent_id order by max(edited.moment) desc, edited.agent_id limit $2
"""


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
    """{agent_id, moment} of agents edited after $1, the latest first, no more than $2. `clocks`: as CatalogueContract has them."""
    if source.view is not None:
        return _EDITS.format(edited=_EDITS_OF_VIEW.format(view=source.view, **_moment(zoned=clocks["updated_at"])))
    parts = [
        text.format(**_moment(zoned=clocks[f"{table}.updated_at"]))
        for table, text in _EDITS_OF_TABLES.items()
        if f"{table}.updated_at" in clocks
    ]
    return _EDITS.format(edited="\nunion all\n".join(parts))


def _columns(source: CatalogueSource, contract: CatalogueContract) -> str:
    prefix = "agents." if source.view is None else ""
    # Without the column there is nothing to write back: it reads as if that were done.
    neutral = {"langgraph_assistant_id": f"{source.key}::text"}
    return ", ".join(
        f"{text if contract.has(prefix + name) else neutral.get(name, 'null::text')} as {name}"
        for name, text in _OPTIONAL_OF_AGENT.items()
    )


def _engine_found(contract: CatalogueContract) -> str:
    if contract.has("engine_found"):
        return "a.engine_found"
    return _MODEL_OR_TYPE if contract.has("engine_type") else _MODEL_ALONE


def _where(source: CatalogueSource, contract: CatalogueContract, conditions: Sequence[str]) -> str:
    """A view has active agents only; of the tables that has to be asked."""
    conditions = contracted(contract, conditions)
    if source.view is not None:
        return " and ".join(conditions) or "true"
    alive = ["a.deleted_at is null"] if contract.has("agents.deleted_at") else []
    return " and ".join(["a.status::text = 'active'", *alive, *conditions])


def _moment(*, zoned: bool) -> dict[str, str]:
    """A column without a time zone is taken to be in UTC. It is compared as it is, so that an index on it serves."""
    since = "$1::timestamptz" if zoned else "($1::timestamptz at time zone 'UTC')"
    moment = "a.updated_at" if zoned else "a.updated_at at time zone 'UTC'"
    return {"moment": moment, "lately": f"a.updated_at > {since}"}
