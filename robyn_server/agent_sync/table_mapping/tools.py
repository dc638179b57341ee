"""The rows that link agents to MCP tools or servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robyn_server.core.errors import Misconfigured

from . import guesses
from .clocks import clock_sql, clocks_along, greatest
from .paths import Join, Path, find_path, joined
from .schema import Column, Schema, Table

NONE = "none"
TOOL_MEMBERS = ("tool_name", "endpoint_url", "is_builtin", "auth_required")
_NEXT = "\n             "
_REQUIRED = ("tool_name", "endpoint_url")


@dataclass(frozen=True, slots=True)
class ToolTable:
    """Rows `t` of `table` belong to the agent whose column `agent_column` is in their `column`.

    `clocks`: of these rows and what they refer to.
    """

    table: Table
    column: Column
    agent_column: Column
    members: Mapping[str, Path]
    clocks: Sequence[Path]

    @property
    def joins(self) -> tuple[Join, ...]:
        return joined((*self.members.values(), *self.clocks))

    @property
    def are_servers(self) -> bool:
        """Whether rows name servers, not tools: then AGENT_SYNC_TOOL_NAMES=servers."""
        return guesses.names_a_server(self.members["tool_name"])

    @property
    def shown(self) -> str:
        return ", ".join(f"{member} = {path.text}" for member, path in self.members.items())

    @property
    def sql(self) -> str:
        """The column `mcp_tools` of the view."""
        name, url = self.members["tool_name"].sql, self.members["endpoint_url"].sql
        return f"""coalesce((
         select jsonb_agg(jsonb_build_object(
                  'tool_id', {url}::text || ' ' || {name}::text, 'tool_name', {name}, 'endpoint_url', {url},
                  'is_builtin', {self._flag("is_builtin")}, 'auth_required', {self._flag("auth_required")})
                  order by {url}, {name})
           from {self._rows}), '[]')"""

    @property
    def latest_edit(self) -> list[str]:
        """When the last of them was edited, as SQL; empty where no table says so."""
        if not self.clocks:
            return []
        return [f"(select max({greatest([clock_sql(path) for path in self.clocks])}) from {self._rows})"]

    @property
    def _rows(self) -> str:
        joins = "".join(f"{_NEXT}left join {join.table.sql} {join.alias} on {join.condition}" for join in self.joins)
        return f"{self.table.sql} t{joins}{_NEXT}where t.{self.column.sql} = a.{self.agent_column.sql}"

    def _flag(self, member: str) -> str:
        path = self.members.get(member)
        return "false" if path is None else f"coalesce({path.sql}, false)"


def map_tools(schema: Schema, agents: Table, name: str | None, given: Mapping[str, str]) -> ToolTable | None:
    """The table `name`, or the likeliest one; None: there is none. `given`: {member: path}. Raises Misconfigured."""
    table = guesses.tool_table(schema, agents) if name is None else schema.find(name, "--tools")
    if table is None:
        if given:
            raise Misconfigured("--tools: no table of tools refers to the agents; name it")
        return None
    column = next((each for each, to in table.references.items() if to.table == agents.sql), None)
    if column is None:
        raise Misconfigured(f"--tools: {table.sql} has no foreign key to {agents.sql}")
    members = _members(schema, table, agents, given)
    agent_column = agents.columns[table.references[column].column]
    return ToolTable(
        table, table.columns[column], agent_column, members, clocks_along(schema, table, members.values(), "t")
    )


def _members(schema: Schema, table: Table, agents: Table, given: Mapping[str, str]) -> dict[str, Path]:
    members = dict[str, Path]()
    for member in TOOL_MEMBERS:
        text = given.get(member) or guesses.tool_member(schema, table, agents, member)
        if text not in {None, NONE}:
            members[member] = find_path(schema, table, str(text), f"--tool {member}", "t")
        elif member in _REQUIRED:
            raise Misconfigured(f"no column of {table.sql} looks like a tool's {member!r}: name it, --tool {member}=…")
    return members
