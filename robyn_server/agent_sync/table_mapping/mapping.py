"""A mapping of a product's tables to the catalogue's contract, from options and guesses.

Rules
  1. Options come first. The rest is guessed from names, types and foreign keys (guesses.py).
  2. A key that is no uuid becomes one by md5 of the table's name and the key: the same in each view, trigger and query.
  3. Without an organization, an agent is visible to administrators only. So one has to be named, or left out on
     purpose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from robyn_server.agent_sync.catalogue_db import fields
from robyn_server.agent_sync.catalogue_db.install import READER, VIEW
from robyn_server.core.catalogue.fields import SAMPLING_KEYS
from robyn_server.core.errors import Misconfigured

from . import guesses
from .clocks import clock_sql, clocks_along, greatest
from .paths import Join, Path, find_path, joined
from .schema import Column, Schema, Table
from .tools import NONE, TOOL_MEMBERS, ToolTable, map_tools

_FIELDS = {each.name: each for each in (*fields.OF_VIEW, fields.CLOCK_OF_VIEW)}


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """The operator's decisions. Names of columns are paths (paths.py), `expressions` are SQL over the agent's row `a`.

    `columns` and `expressions` have the contract's columns as keys, `tool_columns` the members of a tool. `active`:
    conditions such as `is_live`, `!is_draft`, `status=published`, `archived_at=null`. `NONE` leaves out a column or
    all tools; as the only condition it serves every row.
    """

    table: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    expressions: Mapping[str, str] = field(default_factory=dict)
    active: Sequence[str] = ()
    tools: str | None = None
    tool_columns: Mapping[str, str] = field(default_factory=dict)
    organization: UUID | None = None
    view: str = VIEW
    role: str = READER


@dataclass(frozen=True, slots=True)
class TableMapping:
    """`selected`: {column of the view: SQL}, `origins`: {column: where it comes from, for people}, `sources`: {column:
    that as a path}."""

    table: Table
    view: str
    role: str
    selected: Mapping[str, str]
    origins: Mapping[str, str]
    sources: Mapping[str, Path]
    conditions: tuple[str, ...]
    tools: ToolTable | None

    @property
    def joins(self) -> tuple[Join, ...]:
        return joined(self.sources.values())

    @property
    def agent_id(self) -> str:
        """The agent's id, as SQL over the agent's row `a`."""
        return self.selected["agent_id"]

    @property
    def agent_key(self) -> Path | None:
        """The column that the agent's id comes from; None: SQL of the operator's."""
        return self.sources.get("agent_id")

    @property
    def agent_id_of_table(self) -> str | None:
        """`agent_id` in terms of the table itself, for an index on it."""
        return None if self.agent_key is None else _as_uuid(self.agent_key, self.agent_key.column.sql)

    @property
    def write_back_to(self) -> str | None:
        """`schema.table.column` of AGENT_SYNC_WRITE_BACK_TO, where the table has one that the server can write."""
        key, column = self.table.columns.get("id"), self.table.columns.get("langgraph_assistant_id")
        if key is None or column is None or self.selected["agent_id"] != f"a.{key.sql}":
            return None
        return f"{self.table.sql}.{column.sql}"

    @property
    def watched(self) -> list[Table]:
        """All tables that an agent is made of, the agents' first."""
        tools = () if self.tools is None else (self.tools.table, *(join.table for join in self.tools.joins))
        tables = (self.table, *(join.table for join in self.joins), *tools)
        return list({table.sql: table for table in tables}.values())


def map_tables(schema: Schema, options: MappingOptions) -> TableMapping:
    """Raises Misconfigured naming the option that is wrong, or that decides what cannot be guessed."""
    _known("--column", options.columns, _FIELDS)
    _known("--sql", options.expressions, _FIELDS)
    _known("--tool", options.tool_columns, TOOL_MEMBERS)
    table = _agents_table(schema, options)
    return _Builder(schema, options, table).build()


def _known(option: str, given: Mapping[str, str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise Misconfigured(f"{option}: {name!r} is none of {', '.join(known)}")


def _agents_table(schema: Schema, options: MappingOptions) -> Table:
    if options.table is not None:
        return schema.find(options.table, "TABLE")
    candidates = guesses.agent_tables(schema)
    if not candidates:
        raise Misconfigured("TABLE: no table looks like one of agents; name it, as schema.table")
    return candidates[0]


class _Builder:
    def __init__(self, schema: Schema, options: MappingOptions, table: Table) -> None:
        self._schema = schema
        self._options = options
        self._table = table
        self._paths = dict[str, Path]()
        self._selected = dict[str, str]()
        self._origins = dict[str, str]()

    def build(self) -> TableMapping:
        for name in _FIELDS:
            self._map(name)
        tools = self._tools()
        self._select_tools(tools)
        self._select_clock(tools)
        return TableMapping(
            table=self._table,
            view=self._options.view,
            role=self._options.role,
            selected={name: self._selected[name] for name in _FIELDS if name in self._selected},
            origins=self._origins,
            sources=dict(self._paths),
            conditions=self._conditions(),
            tools=tools,
        )

    def _map(self, name: str) -> None:
        expression, text = self._options.expressions.get(name), self._options.columns.get(name)
        if expression is not None:
            self._select(name, expression, "SQL of yours")
        elif name == "organization_id" and self._options.organization is not None:
            self._select(name, f"'{self._options.organization}'::uuid", "the same for all")
        elif text == NONE:
            self._leave_out(name)
        elif text is not None:
            self._select_path(name, find_path(self._schema, self._table, text, f"--column {name}"))
        elif name not in {"mcp_tools", "updated_at", "engine_found"}:
            self._guess(name)

    def _guess(self, name: str) -> None:
        text = guesses.column_of(self._schema, self._table, name)
        if text is not None:
            self._select_path(name, find_path(self._schema, self._table, text, f"--column {name}"))
        elif name == "sampling_params":
            self._select_sampling()
        elif _FIELDS[name].required:
            self._ask_for(name)

    def _ask_for(self, name: str) -> None:
        if name in {"system_prompt", "runtime_model_name"}:
            self._leave_out(name)
            return
        more = (
            f", or --organization with the id of the only one, or --column {name}=none: only administrators see the agents then"
            if name == "organization_id"
            else ""
        )
        raise Misconfigured(f"no column of {self._table.sql} looks like {name!r}: name it, --column {name}=…{more}")

    def _leave_out(self, name: str) -> None:
        if not _FIELDS[name].required:
            return
        if name in {"agent_id", "name"}:
            raise Misconfigured(f"--column {name}: an agent has one; it cannot be none")
        type_name = _FIELDS[name].type
        self._select(name, f"null::{type_name}", "none")

    def _select(self, name: str, sql: str, origin: str) -> None:
        self._selected[name], self._origins[name] = sql, origin

    def _select_path(self, name: str, path: Path) -> None:
        self._paths[name] = path
        if name in {"agent_id", "organization_id"}:
            sql = _as_uuid(path, path.sql)
            self._select(name, sql, path.text if sql == path.sql else f"{path.text}, as a uuid")
        elif name == "runtime_model_name":
            self._select_model(path)
        else:
            self._select(name, f"{path.sql}::jsonb" if path.column.type == "json" else path.sql, path.text)

    def _select_model(self, path: Path) -> None:
        provider = guesses.provider_of(path.table)
        if provider is None:
            self._select("runtime_model_name", path.sql, path.text)
        else:
            shown = path.text.removesuffix(path.column.name) + provider.name
            self._select("runtime_model_name", _with_provider(path, provider), f"{path.text}, with {shown}")
        if path.joins:
            first, last = path.joins[0], path.joins[-1]
            found = f"{last.alias}.{last.table.columns[last.column].sql} is not null"
            sql = f"case when {first.origin}.{first.origin_column} is not null then {found} end"
            self._select("engine_found", sql, f"whether {path.text} leads to a row")

    def _select_sampling(self) -> None:
        own = [
            column for name, column in self._table.columns.items() if name in SAMPLING_KEYS and column.category == "N"
        ]
        if own:
            pairs = ", ".join(f"'{column.name}', a.{column.sql}" for column in own)
            sql = f"jsonb_strip_nulls(jsonb_build_object({pairs}))"
            self._select("sampling_params", sql, ", ".join(column.name for column in own))

    def _conditions(self) -> tuple[str, ...]:
        given = self._options.active or guesses.conditions(self._table)
        state = guesses.states(self._table)
        if not self._options.active and state is not None:
            raise Misconfigured(
                f"{self._table.sql} has a column {state!r}: say which agents are in service, --active {state}=…, or --active none for all"
            )
        if list(given) == [NONE]:
            self._origins["active"] = "every row"
            return ()
        self._origins["active"] = " and ".join(given) or "every row"
        return tuple(_condition(self._schema, self._table, text) for text in given)

    def _tools(self) -> ToolTable | None:
        if self._options.tools == NONE or "mcp_tools" in self._selected:
            return None
        return map_tools(self._schema, self._table, self._options.tools, self._options.tool_columns)

    def _select_tools(self, tools: ToolTable | None) -> None:
        if "mcp_tools" in self._selected:
            return
        if tools is None:
            self._select("mcp_tools", "'[]'::jsonb", "none")
            return
        self._select("mcp_tools", tools.sql, f"{tools.table.sql}: {tools.shown}")

    def _select_clock(self, tools: ToolTable | None) -> None:
        if "updated_at" in self._selected or self._options.columns.get("updated_at") == NONE:
            return
        clocks = clocks_along(self._schema, self._table, self._paths.values())
        moments = [clock_sql(path) for path in clocks] + ([] if tools is None else tools.latest_edit)
        if moments:
            self._paths |= {f"updated_at {path.text}": path for path in clocks}
            paths = (*clocks, *(() if tools is None else tools.clocks))
            self._select(
                "updated_at", greatest(moments), ", ".join(f"{path.table.sql}.{path.column.name}" for path in paths)
            )


def _as_uuid(path: Path, sql: str) -> str:
    if path.column.type == "uuid":
        return sql
    owner = path.table.references.get(path.column.name)
    prefix = (path.table.sql if owner is None else owner.table).replace("'", "''")
    return f"md5('{prefix}/' || {sql}::text)::uuid"


def _with_provider(path: Path, provider: Column) -> str:
    """`provider:model`, unless the model's name has its provider already."""
    owner = path.sql.rpartition(".")[0]
    prefix = f"coalesce({owner}.{provider.sql}::text || ':', '')"
    return f"case when {path.sql} like '%:%' then {path.sql}::text else {prefix} || {path.sql} end"


def _condition(schema: Schema, table: Table, text: str) -> str:
    """`column`, `!column`, `column=value`, `column!=value`; the value `null` is the null."""
    name, equals, value = text.partition("=")
    is_negated = name.endswith("!") if equals else name.startswith("!")
    path = find_path(schema, table, name.strip("! "), "--active")
    if path.joins:
        raise Misconfigured(f"--active {text}: only a column of {table.sql} itself")
    if not equals:
        if path.column.category != "B":
            raise Misconfigured(
                f"--active {text}: {path.column.name} is {path.column.type}, not boolean; name a value, {name}=…"
            )
        return f"{path.sql} is not true" if is_negated else path.sql
    if value == "null":
        return f"{path.sql} is {'not ' if is_negated else ''}null"
    literal = value.replace("'", "''")
    return f"{path.sql}::text {'is distinct from' if is_negated else '='} '{literal}'"
