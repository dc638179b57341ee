"""`agenthall catalogue map`: options and guesses become a mapping, which is shown, tried and written as SQL."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from robyn_server.agent_sync.table_mapping import MappingOptions, MappingReport, Schema, TableMapping

Pairs = list[str] | None
_SHOWN = 5
_HELP = """\
Enter accepts. Or type what is otherwise:
  table=SCHEMA.TABLE         the table of agents         active=CONDITION[,CONDITION]  such as is_live, !is_draft, status=on
  COLUMN=PATH                the column it comes from    tools=TABLE                   the table that links agents to tools
  tool.MEMBER=PATH           of a tool                   organization=UUID             the same for all agents
  columns [TABLE]            what there is               q                             leave
A PATH is a column, or leads along foreign keys: model_id.name. `none` leaves something out."""


def catalogue_map(
    table: Annotated[
        str | None, typer.Argument(help="Your table of agents. Default: the one that looks most like it.")
    ] = None,
    column: Annotated[
        Pairs,
        typer.Option(help="COLUMN=PATH: a column of the contract and yours; `model_id.name` follows a foreign key."),
    ] = None,
    sql: Annotated[Pairs, typer.Option(help="COLUMN=EXPRESSION: SQL over a row `a` of your table.")] = None,
    active: Annotated[
        Pairs,
        typer.Option(help="When an agent is in service: is_live, !is_draft, status=on, archived_at=null; or none."),
    ] = None,
    tools: Annotated[str | None, typer.Option(help="Your table that links agents to MCP tools; or none.")] = None,
    tool: Annotated[
        Pairs, typer.Option(help="MEMBER=PATH: tool_name, endpoint_url, is_builtin or auth_required.")
    ] = None,
    organization: Annotated[
        UUID | None, typer.Option(help="The organization of all agents, where your tables have none.")
    ] = None,
    view: Annotated[str | None, typer.Option(help="Name of the view.")] = None,
    role: Annotated[str | None, typer.Option(help="Role that may read the view.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the SQL to this file.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Apply the SQL, in one transaction.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Map your own tables: write the view, grants and triggers through which the server reads them.

    The database is CATALOGUE_DATABASE_URL, or DATABASE_URL. Only --apply changes it. The mapping is tried before it is
    written.
    """
    import asyncio

    from robyn_server.agent_sync.table_mapping import MappingOptions

    from .contract import checked_role

    given = MappingOptions(
        table=table,
        columns=_pairs("--column", column),
        expressions=_pairs("--sql", sql),
        active=active or (),
        tools=tools,
        tool_columns=_pairs("--tool", tool),
        organization=organization,
        role=checked_role(role),
    )
    given = given if view is None else replace(given, view=_checked_view(view))
    is_dialogue = sys.stdin.isatty() and sys.stderr.isatty() and not yes
    asyncio.run(_run(given, _Output(output, apply), is_dialogue=is_dialogue))


@dataclass(frozen=True, slots=True)
class _Output:
    file: Path | None
    is_applied: bool

    async def write(self, connection: Any, text: str) -> None:
        if self.file is not None:
            self.file.write_text(text, encoding="utf-8")
            _say(f"\nWritten to {self.file}. Read it, then apply it: psql … -v ON_ERROR_STOP=1 -f {self.file}")
        if self.is_applied:
            from robyn_server.agent_sync.table_mapping import apply_mapping

            await apply_mapping(connection, text)
            _say("\nApplied.")
        elif self.file is None:
            typer.echo(text, nl=False)


async def _run(options: MappingOptions, output: _Output, *, is_dialogue: bool) -> None:
    from robyn_server.agent_sync.table_mapping import mapping_sql, read_schema, settings_of
    from robyn_server.cli.database import given_database
    from robyn_server.core.errors import Misconfigured
    from robyn_server.storage.postgres.pools import open_connection

    own = given_database()
    url = os.environ.get("CATALOGUE_DATABASE_URL") or own
    if not url:
        raise Misconfigured("CATALOGUE_DATABASE_URL is not set: it names the database that has your tables")
    connection = await open_connection(url, None, name="agenthall catalogue map")
    try:
        schema = await read_schema(connection)
        mapping = await (_ask(connection, schema, options) if is_dialogue else _decide(connection, schema, options))
        await output.write(connection, mapping_sql(mapping))
    finally:
        await connection.close()
    _say("\nThen start the server with:")
    for name, value in settings_of(mapping).items():
        _say(f"  {name}={value}")


async def _decide(connection: Any, schema: Schema, options: MappingOptions) -> TableMapping:
    """Raises Misconfigured where something is open or wrong."""
    from robyn_server.agent_sync.table_mapping import check_mapping, map_tables
    from robyn_server.core.errors import Misconfigured

    mapping = map_tables(schema, options)
    report = await check_mapping(connection, mapping)
    _show(mapping, report)
    if not report.is_usable:
        raise Misconfigured("the mapping cannot be read: " + "; ".join(report.problems))
    return mapping


async def _ask(connection: Any, schema: Schema, options: MappingOptions) -> TableMapping:
    """Show the mapping and take corrections until it is accepted."""
    from robyn_server.agent_sync.table_mapping import check_mapping, map_tables
    from robyn_server.core.errors import Misconfigured

    _say(_HELP)
    while True:
        is_usable = False
        try:
            mapping = map_tables(schema, options)
            report = await check_mapping(connection, mapping)
            _show(mapping, report)
            is_usable = report.is_usable
        except Misconfigured as error:
            _say(f"\n{error}", "red")
        line = _line()
        if not line and is_usable:
            return mapping
        try:
            options = _corrected(schema, options, line)
        except (Misconfigured, ValueError) as error:
            _say(str(error), "red")


def _line() -> str:
    sys.stderr.write("\nmap> ")
    sys.stderr.flush()
    try:
        line = input().strip()
    except EOFError:
        line = "q"
    if line == "q":
        raise typer.Exit(1)
    return line


def _corrected(schema: Schema, options: MappingOptions, line: str) -> MappingOptions:
    """Apply one line of the dialogue. Raises Misconfigured or ValueError saying what is wrong with it."""
    command, _, rest = line.partition(" ")
    if command == "columns":
        _list(schema, rest)
        return options
    if not line:
        return options
    name, _, value = (part.strip() for part in line.partition("="))
    if not value:
        raise ValueError(_HELP)
    if name == "active":
        return replace(options, active=tuple(each.strip() for each in value.split(",")))
    if name == "organization":
        return replace(options, organization=UUID(value))
    if name == "table":
        return replace(options, table=value)
    if name == "tools":
        return replace(options, tools=value)
    if name.startswith("tool."):
        return replace(options, tool_columns={**options.tool_columns, name.removeprefix("tool."): value})
    return replace(options, columns={**options.columns, name: value})


def _list(schema: Schema, name: str) -> None:
    tables = [schema.find(name, "columns")] if name else list(schema.tables.values())
    for each in tables:
        keys = each.references
        columns = (f"{column} → {keys[column].table}" if column in keys else column for column in each.columns)
        _say(f"  {each.sql}: {', '.join(columns)}")


def _show(mapping: TableMapping, report: MappingReport) -> None:
    rows = [("active if", mapping.origins["active"]), *((name, mapping.origins[name]) for name in mapping.selected)]
    _say(f"\n{mapping.table.sql} → {mapping.view}", "bold")
    for name, origin in rows:
        _say(f"  {name:<22} {origin}", "dim" if origin == "none" else "")
    for problem in report.problems:
        _say(f"  {problem}", "red")
    for reason in report.rejected[:_SHOWN]:
        _say(f"  {reason}", "yellow")
    if report.is_usable:
        _say(f"  {_count(report)}", "green")


def _count(report: MappingReport) -> str:
    served, more = len(report.names), " of the first of them" if report.has_more else ""
    failed = f", {len(report.rejected)} cannot be" if report.rejected else ""
    shown = ", ".join(report.names[:_SHOWN]) + (", …" if served > _SHOWN or report.has_more else "")
    return f"{served} agents{more} can be served{failed}" + (f": {shown}" if shown else "")


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    from robyn_server.core.errors import Misconfigured

    pairs = dict[str, str]()
    for text in given or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise Misconfigured(f"{option}: {text!r} is not NAME=VALUE")
        if name in pairs:
            raise Misconfigured(f"{option}: {name} is there twice")
        pairs[name] = value
    return pairs


def _checked_view(name: str) -> str:
    from robyn_server.agent_sync.catalogue_db.source import schema_of
    from robyn_server.core.errors import Misconfigured

    try:
        schema_of(name)
    except ValueError as error:
        raise Misconfigured(f"--view: {error}") from None
    return name


def _say(text: str, style: str = "") -> None:
    """To standard error: standard output is the SQL's."""
    from robyn_server.terminal import printable, styled

    typer.echo(styled(printable(text), style, sys.stderr), err=True)
