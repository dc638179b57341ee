"""SQL that an operator applies to the catalogue's database, with the names from the settings. Nothing here runs it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .contract import OPTIONAL, REQUIRED
from .fields import CLOCK
from .source import CatalogueSource, schema_of

VIEW = "agenthall_catalogue.agents"
"""The view's name unless AGENT_SYNC_CATALOGUE names another.

It is not in public, a schema that products expose to clients.
"""

READER = "agenthall_reader"

_SQL = Path(__file__).parent / "sql"
_ROLE = """\
-- The login of CATALOGUE_DATABASE_URL needs no more than this; grant it this role, or make it a login of its own.
do $$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = '{role}') then create role {role}; end if;
end $$;
"""
_READING = """\
grant usage on schema public to {role};
-- Reading: the columns that an agent is made of. updated_at finds edits without triggers.
do $$
declare
  wanted record;
  present text;
begin
  for wanted in select * from (values
    {wanted}) as wanted (name, required, optional)
  loop
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) into present
      from pg_catalog.pg_attribute a
     where a.attrelid = to_regclass('public.' || wanted.name) and a.attnum > 0 and not a.attisdropped
       and a.attname = any (wanted.optional);
    execute format('grant select (%s) on public.%I to {role}',
                   concat_ws(', ', array_to_string(wanted.required, ', '), present), wanted.name);
  end loop;
end $$;
"""


def catalogue_view_sql(source: CatalogueSource, *, write_back: bool, role: str | None = READER) -> str:
    """The contract's view over the standard tables, and the grants of a role (None: no grants) that may read it and
    write one column."""
    view = source.view or VIEW
    schema = schema_of(view)
    reading = f"grant usage on schema {schema} to {role};\ngrant select on {view} to {role};\n"
    text = (_SQL / "catalogue_view.sql").read_text(encoding="utf-8")
    grants = "" if role is None else role_sql(role) + reading
    if role is not None:
        grants += _write_back(source, write_back=write_back, role=role)
    return text.format(view=view, schema=schema, setting=view, grants=grants)


def catalogue_grants_sql(source: CatalogueSource, *, write_back: bool, role: str = READER) -> str:
    """The grants of a role that may read the five tables' columns and write one.

    A required column must exist. Optional ones, and `updated_at`, are granted where a table has them.
    """
    wanted = ",\n    ".join(
        f"('{table}', array[{_quoted(required)}], array[{_quoted((*OPTIONAL.get(table, ()), CLOCK))}])"
        for table, required in REQUIRED.items()
    )
    return (
        role_sql(role)
        + _READING.format(role=role, wanted=wanted)
        + _write_back(source, write_back=write_back, role=role)
    )


def role_sql(role: str) -> str:
    """Create the role that reads the catalogue, unless it exists."""
    return _ROLE.format(role=role)


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f"'{column}'" for column in dict.fromkeys(columns))


def _write_back(source: CatalogueSource, *, write_back: bool, role: str) -> str:
    if not write_back:
        return "-- AGENT_SYNC_WRITE_BACK=false: nothing is written.\n"
    return (
        f"-- Written back: {source.table}.{source.column}, by id (AGENT_SYNC_WRITE_BACK_TO; AGENT_SYNC_WRITE_BACK=false: nothing).\n"
        f"grant usage on schema {schema_of(source.table)} to {role};\n"
        f"grant select (id, {source.column}), update ({source.column}) on {source.table} to {role};\n"
    )
