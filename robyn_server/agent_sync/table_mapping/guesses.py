"""Guess from names and types which tables and columns hold agents, their tools and their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .paths import Path, walk
from .schema import Column, Schema, Table

_AGENTS = ("agent", "assistant", "bot", "persona", "copilot", "chatbot")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "organization_id": (
        "organization_id", "organisation_id", "org_id", "team_id", "tenant_id", "workspace_id", "account_id", "company_id",
        "customer_id", "organization", "organisation", "team", "tenant", "workspace",
    ),
    "name": ("name", "title", "display_name", "label", "agent_name", "bot_name", "assistant_name"),
    "description": ("description", "summary", "about", "tagline", "purpose"),
    "is_global": ("is_global",),
    "system_prompt": (
        "system_prompt", "system_message", "prompt", "instructions", "system_instructions", "system_prompt_template",
        "persona", "prompt_text",
    ),
    "runtime_model_name": ("runtime_model_name", "model_name", "model", "llm", "llm_model", "language_model", "model_id"),
    "sampling_params": ("sampling_params", "model_params", "model_parameters", "model_settings", "sampling"),
    "assistant_tool_ids": ("assistant_tool_ids",),
    "graph_id": ("graph_id",),
    "langgraph_assistant_id": ("langgraph_assistant_id",),
}  # fmt: skip
"""For each column of the contract: what products call it, the likeliest first."""

_FITS: Mapping[str, Callable[[Column], bool]] = {
    "organization_id": lambda column: (
        column.type in {"uuid", "smallint", "integer", "bigint"} or column.category == "S"
    ),
    "is_global": lambda column: column.category == "B",
    "sampling_params": lambda column: column.type in {"json", "jsonb"},
    "assistant_tool_ids": lambda column: column.type == "uuid[]",
    "langgraph_assistant_id": lambda column: column.is_text or column.type == "uuid",
}
"""Unless stated here, a column has to hold text."""

_FOREIGN = {"organization_id": 1, "runtime_model_name": 2, "system_prompt": 1}
"""How many foreign keys away a column may be."""

_MODELS = ("model", "llm", "engine")
_PROVIDERS = ("provider", "vendor", "model_provider", "provider_name")
_SERVER_NAMES = ("server_name", "server")
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "tool_name": ("tool_name", "tool", "function_name", *_SERVER_NAMES, "name", "slug"),
    "endpoint_url": ("endpoint_url", "server_url", "mcp_url", "base_url", "endpoint", "url"),
    "is_builtin": ("is_builtin", "builtin"),
    "auth_required": ("auth_required", "requires_auth", "needs_auth", "is_authenticated"),
}
_ON = ("is_active", "active", "is_enabled", "enabled", "is_live", "live", "is_published", "published")
_OFF = (
    "is_deleted",
    "deleted",
    "is_archived",
    "archived",
    "is_disabled",
    "disabled",
    "is_draft",
    "draft",
    "is_paused",
    "paused",
)
_ENDED = ("deleted_at", "archived_at", "disabled_at", "removed_at", "discarded_at")
_STATES = ("status", "state")
CLOCKS = ("updated_at", "modified_at", "changed_at", "last_modified", "last_modified_at", "updated", "date_updated")


def agent_tables(schema: Schema) -> list[Table]:
    """Tables that may hold agents, the likeliest first."""
    scored = [(_agents_score(schema, table), table) for table in schema.tables.values()]
    return [table for score, table in sorted(scored, key=lambda each: -each[0]) if score > 0]


def _agents_score(schema: Schema, table: Table) -> int:
    is_named = any(word in table.name.lower() for word in _AGENTS)
    if column_of(schema, table, "name") is None or not (is_named or _named(table, "system_prompt")):
        return 0
    parts = ("system_prompt", "runtime_model_name", "organization_id")
    score = sum(column_of(schema, table, part) is not None for part in parts)
    links = sum(to.table != table.sql for to in table.references.values())
    return 4 * is_named + 2 * score + table.is_table - min(links, 2) * (_is_link(table))


def _is_link(table: Table) -> bool:
    """Whether a table does little more than to refer to others."""
    return len(table.references) > 1 and len(table.columns) <= len(table.references) + 3


def column_of(schema: Schema, table: Table, field: str) -> str | None:
    """The path to the column of the contract's `field`, or None."""
    if field == "agent_id":
        return table.key
    found = _named(table, field)
    if found is not None and not (field == "runtime_model_name" and found in table.references):
        return found
    return _foreign(schema, table, field)


def _named(table: Table, field: str) -> str | None:
    return _first(table.columns, _NAMES.get(field, ()), _FITS.get(field, _is_text))


def _is_text(column: Column) -> bool:
    return column.is_text


def _foreign(schema: Schema, table: Table, field: str) -> str | None:
    depth = _FOREIGN.get(field, 0)
    fits = _FITS.get(field, _is_text)
    wanted = _NAMES.get(field, ())
    found = [
        (text.count("."), wanted.index(column.name) if column.name in wanted else len(wanted), text)
        for text, owner, column in walk(schema, table, depth)
        if "." in text and fits(column) and (column.name in wanted or _is_model_name(field, owner, column))
    ]
    return min(found)[-1] if found else None


def _is_model_name(field: str, owner: Table, column: Column) -> bool:
    return (
        field == "runtime_model_name" and column.name == "name" and any(word in owner.name.lower() for word in _MODELS)
    )


def provider_of(table: Table) -> Column | None:
    """The column beside a model's name that says whose model it is."""
    name = _first(table.columns, _PROVIDERS, _is_text)
    return None if name is None else table.columns[name]


def _first(columns: Mapping[str, Column], names: Iterable[str], fits: Callable[[Column], bool]) -> str | None:
    return next((name for name in names if name in columns and fits(columns[name])), None)


def conditions(table: Table) -> list[str]:
    """Conditions of `--active` under which a row is an agent in service."""
    found = [name for name in _ON if name in table.columns and table.columns[name].category == "B"][:1]
    found += [f"!{name}" for name in _OFF if name in table.columns and table.columns[name].category == "B"]
    found += [f"{name}=null" for name in _ENDED if name in table.columns]
    return found


def states(table: Table) -> str | None:
    """A column whose values decide whether an agent is in service. Which of them do cannot be guessed."""
    return _first(table.columns, _STATES, _is_text)


def clocks(table: Table) -> list[str]:
    fits = {"timestamp with time zone", "timestamp without time zone"}
    return [name for name in CLOCKS if name in table.columns and table.columns[name].type in fits][:1]


def tool_table(schema: Schema, agents: Table) -> Table | None:
    """The table that links agents to MCP tools or servers, or None."""
    found = [
        (_is_tool_named(table), table)
        for table, _ in schema.referring_to(agents)
        if table.sql != agents.sql and tool_member(schema, table, agents, "endpoint_url") is not None
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def _is_tool_named(table: Table) -> bool:
    return any(word in table.name.lower() for word in ("tool", "mcp"))


def tool_member(schema: Schema, table: Table, agents: Table, member: str) -> str | None:
    """The path from a row of `table` to the member of a tool. Columns of the agents themselves are none of a tool's."""
    wanted = _MEMBERS[member]
    is_flag = member in {"is_builtin", "auth_required"}
    found = [
        (text.count("."), wanted.index(column.name), text)
        for text, owner, column in walk(schema, table, 2)
        if column.name in wanted and owner.sql != agents.sql and (column.category == "B" if is_flag else column.is_text)
        and not _leads_through(table, agents, text)
    ]  # fmt: skip
    return min(found)[-1] if found else None


def _leads_through(table: Table, agents: Table, text: str) -> bool:
    first = table.references.get(text.partition(".")[0])
    return "." in text and first is not None and first.table == agents.sql


def names_a_server(path: Path) -> bool:
    """Whether a tool's name is rather that of its MCP server."""
    is_server_table = "server" in path.table.name.lower() and "tool" not in path.table.name.lower()
    return path.column.name in _SERVER_NAMES or (path.column.name in {"name", "slug"} and is_server_table)
