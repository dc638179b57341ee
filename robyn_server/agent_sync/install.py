"""What an operator applies to the catalogue's database: SQL to read, with the names that the settings give. Nothing here runs it."""

from __future__ import annotations

from pathlib import Path

from .contract import OPTIONAL, REQUIRED
from .source import CatalogueSource, schema_of

VIEW = "agenthall_catalogue.agents"
"""The view's name unless AGENT_SYNC_CATALOGUE says another. Not in public: products show that schema to the world."""

READER = "agenthall_reader"

_SQL = Path(__file__).parent / "sql"
_ROLE = """\
-- The login of CATALOGUE_DATABASE_URL needs no more than this; grant it this role, or make it a login of its own.
do $$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = '{role}') then create role {role}; end if;
end $$;
"""


def catalogue_view_sql(source: CatalogueSource, *, write_back: bool, role: str | None = READER) -> str:
    """The contract's view over the standard tables, and the grants of a role (None: no grants) that may read it and write one column."""
    view = source.view or VIEW
    schema = schema_of(view)
    reading = f"grant usage on schema {schema} to {role};\ngrant select on {view} to {role};\n"
    text = (_SQL / "catalogue_view.sql").read_text(encoding="utf-8")
    grants = "" if role is None else _ROLE.format(role=role) + reading
    if role is not None:
        grants += _write_back(source, write_back=write_back, role=role)
    return text.format(view=view, schema=schema, setting=view, grants=grants)


def catalogue_grants_sql(source: CatalogueSource, *, write_back: bool, role: str = READER) -> str:
    """The grants of a role that may read the five tables' columns and write one. It fails for a column that is not there: the
    optional ones that a product lacks are to be struck out."""
    lines = [f"grant usage on schema public to {role};"]
    for table, required in REQUIRED.items():
        columns = (*required, *OPTIONAL.get(table, ()))
        lines.append(f"grant select ({', '.join(columns)}) on public.{table} to {role};")
    return _ROLE.format(role=role) + "\n".join(lines) + "\n" + _write_back(source, write_back=write_back, role=role)


def _write_back(source: CatalogueSource, *, write_back: bool, role: str) -> str:
    if not write_back:
        return "-- AGENT_SYNC_WRITE_BACK=false: nothing is written.\n"
    return (
        f"-- Written back: {source.table}.{source.column}, by id (AGENT_SYNC_WRITE_BACK_TO; AGENT_SYNC_WRITE_BACK=false: nothing).\n"
        f"grant usage on schema {schema_of(source.table)} to {role};\n"
        f"grant select (id, {source.column}), update ({source.column}) on {source.table} to {role};\n"
    )
