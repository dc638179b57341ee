"""The SQL of a mapping: view, grants, and triggers that report edits.

Applying it again, or that of another mapping, is safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from robyn_server.agent_sync.catalogue_db.install import role_sql
from robyn_server.agent_sync.catalogue_db.source import schema_of

from .guesses import clocks
from .mapping import TableMapping
from .paths import Join
from .schema import Table

_MANY = 200
"""Agents above which the triggers say `*`: compare all."""

_AND = "\n        "
_HEAD = """\
-- Agenthall: the catalogue over {table}. Read this, and apply it to the catalogue's database as the owner of its tables:
--   psql "$CATALOGUE_DATABASE_URL" -v ON_ERROR_STOP=1 -f FILE
-- It adds a schema, a view, grants and triggers; no table of yours gets or loses a column. To remove all of it:
--   drop schema agenthall_catalogue cascade;
--
-- Settings of the server:
{settings}
{notes}"""

_FUNCTIONS = f"""\
create or replace function agenthall_catalogue.notify_agents(ids uuid[]) returns void
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if cardinality(ids) > {_MANY} then
    perform pg_notify('agenthall_catalogue', '*');
  elsif cardinality(ids) > 0 then
    perform pg_notify('agenthall_catalogue', array_to_string(ids, ','));
  end if;
end $$;

create or replace function agenthall_catalogue.truncated() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  perform pg_notify('agenthall_catalogue', '*');
  return null;
end $$;

do $$
declare
  earlier record;
begin
  for earlier in
    select t.tgname, t.tgrelid::regclass as relation
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc f on f.oid = t.tgfoid
     where f.pronamespace = 'agenthall_catalogue'::regnamespace and not t.tgisinternal
  loop
    execute format('drop trigger %I on %s', earlier.tgname, earlier.relation);
  end loop;
end $$;
"""

_TRIGGER = """
create or replace function agenthall_catalogue.{name}() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'INSERT' then
    perform agenthall_catalogue.notify_agents(array(
      {inserted}));
  elsif tg_op = 'DELETE' then
    perform agenthall_catalogue.notify_agents(array(
      {deleted}));
  else
    perform agenthall_catalogue.notify_agents(array(
      {updated}));
  end if;
  return null;
end $$;
create trigger agenthall_insert after insert on {table} referencing new table as new_rows
  for each statement execute function agenthall_catalogue.{name}();
create trigger agenthall_update after update on {table} referencing old table as old_rows new table as new_rows
  for each statement execute function agenthall_catalogue.{name}();
create trigger agenthall_delete after delete on {table} referencing old table as old_rows
  for each statement execute function agenthall_catalogue.{name}();
create trigger agenthall_truncate after truncate on {table}
  for each statement execute function agenthall_catalogue.truncated();
"""


def mapping_sql(mapping: TableMapping) -> str:
    """The whole script, in one transaction."""
    parts = (
        _head(mapping),
        "begin;\n",
        _schemas(mapping),
        _index(mapping),
        _view(mapping),
        _grants(mapping),
        _triggers(mapping),
    )
    return "\n".join(part for part in parts if part) + "\ncommit;\n"


def select_sql(mapping: TableMapping) -> str:
    """The view's query."""
    columns = ",\n       ".join(f"{sql} as {name}" for name, sql in mapping.selected.items())
    where = f"\n where {' and '.join(f'({each})' for each in mapping.conditions)}" if mapping.conditions else ""
    return f"select {columns}\n  from {mapping.table.sql} a{_joins(mapping.joins, ' left')}{where}"


def settings_of(mapping: TableMapping) -> dict[str, str]:
    """The server's settings that go with the mapping."""
    settings = {"AGENT_SYNC_CATALOGUE": mapping.view, "AGENT_SYNC_SCOPE": "all"}
    if mapping.write_back_to is not None:
        settings["AGENT_SYNC_WRITE_BACK_TO"] = mapping.write_back_to
    if mapping.tools is not None and mapping.tools.are_servers:
        settings["AGENT_SYNC_TOOL_NAMES"] = "servers"
    return settings


def _head(mapping: TableMapping) -> str:
    settings = "\n".join(f"--   {name}={value}" for name, value in settings_of(mapping).items())
    notes = (
        "--\n-- Ids that are no uuid are made one, by md5. An organization's is the same in AUTH_MEMBERSHIP_QUERY:\n"
    )
    organization = mapping.selected["organization_id"]
    is_made = organization.startswith("md5(")
    return _HEAD.format(
        table=mapping.table.sql, settings=settings, notes=f"{notes}--   {organization}\n" if is_made else ""
    )


def _schemas(mapping: TableMapping) -> str:
    schemas = dict.fromkeys(("agenthall_catalogue", schema_of(mapping.view)))
    return "".join(f"create schema if not exists {schema};\n" for schema in schemas)


def _index(mapping: TableMapping) -> str:
    """Agents are read in the order of their ids, a page at a time."""
    key, expression = mapping.agent_key, mapping.agent_id_of_table
    if (
        not mapping.table.is_table
        or key is None
        or expression is None
        or (expression == key.column.sql and key.column.is_unique)
    ):
        return ""
    return (
        "-- The server reads the agents in the order of this id, a page at a time.\n"
        f"create index if not exists agenthall_agent_id on {mapping.table.sql} (({expression}));\n"
    )


def _view(mapping: TableMapping) -> str:
    return f"drop view if exists {mapping.view};\ncreate view {mapping.view} as\n{select_sql(mapping)};\n"


def _grants(mapping: TableMapping) -> str:
    role, schema = mapping.role, schema_of(mapping.view)
    text = f"{role_sql(role)}grant usage on schema {schema} to {role};\ngrant select on {mapping.view} to {role};\n"
    if mapping.write_back_to is not None:
        table, _, column = mapping.write_back_to.rpartition(".")
        text += (
            f"grant usage on schema {mapping.table.schema_sql} to {role};\n"
            f"grant select (id, {column}), update ({column}) on {table} to {role};\n"
        )
    return text


def _triggers(mapping: TableMapping) -> str:
    watched = [table for table in mapping.watched if table.is_table]
    others = [table.sql for table in mapping.watched if not table.is_table]
    note = (
        f"-- No triggers on {', '.join(others)}: not a table. Edits are found by updated_at, or by passes.\n"
        if others
        else ""
    )
    names = _function_names(watched)
    return _FUNCTIONS + note + "".join(_trigger(mapping, table, names[table.sql]) for table in watched)


def _function_names(tables: Sequence[Table]) -> dict[str, str]:
    """Names without quotes, each different: a number where two tables have the same."""
    names = dict[str, str]()
    for number, table in enumerate(tables, 1):
        plain = re.sub(r"[^a-z0-9_]", "", table.name.lower())[:40]
        name = f"{plain}_changed"
        names[table.sql] = f"{name}_{number}" if name in names.values() or not plain else name
    return names


def _trigger(mapping: TableMapping, table: Table, name: str) -> str:
    inserted, deleted = (_changed(mapping, table, rows) for rows in ("new_rows", "old_rows"))
    updated = _updated(mapping) if table.sql == mapping.table.sql else None
    return _TRIGGER.format(
        name=name,
        table=table.sql,
        inserted=inserted,
        deleted=deleted,
        updated=updated or f"{deleted}\n      union\n      {inserted}",
    )


def _changed(mapping: TableMapping, table: Table, rows: str) -> str:
    """A query of the ids of the agents behind `rows` of `table`, which may play several parts in the mapping."""
    return "\n      union\n      ".join(_through(mapping, table, rows))


def _through(mapping: TableMapping, table: Table, rows: str) -> Iterable[str]:
    select = f"select {mapping.agent_id} from "
    if table.sql == mapping.table.sql:
        yield f"{select}{rows} a"
    for chain in _chains(mapping.joins, table):
        yield f"{select}{mapping.table.sql} a{_inner(chain, rows)}"
    tools = mapping.tools
    if tools is None:
        return
    own = f"t.{tools.column.sql} = a.{tools.agent_column.sql}"
    if table.sql == tools.table.sql:
        yield f"{select}{mapping.table.sql} a{_AND}join {rows} t on {own}"
    for chain in _chains(tools.joins, table):
        yield f"{select}{mapping.table.sql} a{_AND}join {tools.table.sql} t on {own}{_inner(chain, rows)}"


def _chains(joins: Sequence[Join], table: Table) -> list[list[Join]]:
    """For each time that `table` is joined: the joins up to there."""
    by_alias = {join.alias: join for join in joins}
    chains = []
    for join in joins:
        if join.table.sql == table.sql:
            chain = [join]
            while chain[0].origin in by_alias:
                chain.insert(0, by_alias[chain[0].origin])
            chains.append(chain)
    return chains


def _inner(chain: Sequence[Join], rows: str) -> str:
    """Inner joins of a chain, with `rows` in place of the last table."""
    tables = [*(join.table.sql for join in chain[:-1]), rows]
    return "".join(
        f"{_AND}join {table} {join.alias} on {join.condition}" for table, join in zip(tables, chain, strict=True)
    )


def _updated(mapping: TableMapping) -> str | None:
    """An update of the agents' table that changes only clocks and what the server writes back is no edit."""
    key = mapping.table.key
    if key is None or mapping.agent_id != f"a.{mapping.table.columns[key].sql}":
        return None
    if _chains(mapping.joins, mapping.table):  # an agent has parts of another one
        return None
    column = mapping.table.columns[key].sql
    ignored = ", ".join(f"'{name}'" for name in ("langgraph_assistant_id", *clocks(mapping.table)))
    return (
        f"select coalesce(n.{column}, o.{column}) from old_rows o full join new_rows n on n.{column} = o.{column}\n"
        f"       where (to_jsonb(o) - array[{ignored}]) is distinct from (to_jsonb(n) - array[{ignored}])"
    )


def _joins(joins: Iterable[Join], kind: str) -> str:
    return "".join(f"\n {kind} join {join.table.sql} {join.alias} on {join.condition}" for join in joins)
