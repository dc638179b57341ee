"""Write docs/reference/schema.md from the comments in the catalog of a migrated database.

`python docs/schema.py` starts a PostgreSQL of its own, applies the migrations and writes the page.
A test compares the page with the catalog.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import asyncpg

from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import migrate
from robyn_server.supervisor.postgres.server import EmbeddedPostgres

PAGE = Path(__file__).resolve().parent / "reference" / "schema.md"
CLIENT_FUNCTIONS = (
    "act_for",
    "current_tenant",
    "register_agent_instance",
    "heartbeat_agent_instance",
    "heartbeat_agent_instances",
    "update_agent_instance",
    "drain_agent_instance",
    "disconnect_agent_instance",
    "deregister_agent_instance",
    "cordon_agent_instance",
    "uncordon_agent_instance",
    "agent_registrations_at",
    "is_alive",
    "sweep_agent_instances",
    "release_brake",
    "open_agent_slots",
    "create_agent_job",
    "dispatch_agent_jobs",
    "claim_agent_jobs",
    "take_agent_offers",
    "end_agent_poll",
    "agent_offers",
    "accept_agent_job",
    "reject_agent_job",
    "extend_agent_jobs",
    "append_job_events",
    "append_events_of_jobs",
    "finish_agent_job",
    "cancel_agent_job",
    "sweep_agent_jobs",
    "delete_ended_jobs",
    "publish_agent_events",
    "compact_agent_events",
)
"""The public functions, in the order of an instance's life.

Their names, arguments, result columns and error codes stay.
"""

CLIENT_RELATIONS = ("agent_registrations", "agents", "agent_liveness")

_INTRO = """\
# The SQL schema `mcp`

<!-- Written by `make docs` from the comments in the migrations. Do not edit this page. -->

The registry can be used from psql, Go or any other SQL client. The server itself uses the same functions.

```sql
set role agenthall_app;  -- row-level security: you see one tenant
select registration_id, epoch, heartbeat_interval_seconds
  from mcp.register_agent_instance(
    '00000000-0000-0000-0000-000000000001', 'ide-agent', 'laptop-7', 'VS Code', '{}', '{}');
```

A tenant is an organization. A function that takes `tenant_id` sets the tenant of its transaction. For a plain query on
tables and views call `mcp.act_for(tenant_id)` first. Functions with an argument `now` use the database's clock unless
you pass a time, and then store what they would store at that time.

| SQLSTATE | meaning |
| --- | --- |
| 22023 | an argument is invalid; the error's column name is the name of the field |
| 42501 | the transaction acts for another tenant, or the role has no right |
| 40001 | the configuration was deleted repeatedly during the call; try again |
| AH001 | the configuration is disabled |
| AH002 | the idempotency key was used for a registration with other values |
| AH003 | the tenant has as many types, configurations or instances as it may have; the error's constraint names which |
| 428C9 | a column of `mcp.agents` cannot be written |
| 23505 | another agent of the tenant has this name |
"""
_FUNCTIONS = """
select p.proname::text as name, pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result,
       obj_description(p.oid, 'pg_proc') as comment, p.prorettype = 'trigger'::regtype as is_trigger, p.pronargs as arity
  from pg_proc p
 where p.pronamespace = 'mcp'::regnamespace
 order by p.proname
"""
_RELATIONS = """
select c.oid, c.relname::text as name, c.relkind = 'v' as is_view, obj_description(c.oid, 'pg_class') as comment
  from pg_class c
 where c.relnamespace = 'mcp'::regnamespace and c.relkind in ('r', 'v')
 order by c.relname
"""
_COLUMNS = """
select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as is_required,
       col_description(a.attrelid, a.attnum) as comment
  from pg_attribute a
 where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
 order by a.attnum
"""
_KEYS = """
select pg_get_constraintdef(k.oid) as definition
  from pg_constraint k
 where k.conrelid = $1 and k.contype in ('p', 'u', 'f')
 order by array_position(array['p', 'u', 'f'], k.contype::text), k.conname
"""


async def render(connection: asyncpg.Connection[Any]) -> str:
    """Return the page for the schema that `connection` sees."""
    functions = {row["name"]: row for row in await connection.fetch(_FUNCTIONS) if not row["is_trigger"]}
    settings = [row for name, row in functions.items() if _is_setting(name, row)]
    internal = [row for name, row in functions.items() if name not in CLIENT_FUNCTIONS and not _is_setting(name, row)]
    relations = {row["name"]: row for row in await connection.fetch(_RELATIONS)}
    parts = [_INTRO, "## Functions for clients\n"]
    parts += [_function(functions[name]) for name in CLIENT_FUNCTIONS]
    parts += ["## Settings\n", "`alter database … set mcp.lease_ttl = '30s'` changes a setting for new connections.\n"]
    parts.append(_table(("setting", "meaning"), ((f"`mcp.{row['name']}`", row["comment"]) for row in settings)))
    parts.append("## Views\n")
    parts += [await _relation(connection, relations.pop(name)) for name in CLIENT_RELATIONS]
    parts.append("## Tables\n")
    parts += [await _relation(connection, row) for row in relations.values()]
    parts += ["## Internal functions\n", "These functions may change in any release.\n"]
    parts.append(_table(("function", "does"), ((f"`{row['name']}`", row["comment"]) for row in internal)))
    return "\n".join(parts)


def _is_setting(name: str, row: asyncpg.Record) -> bool:
    return row["arity"] == 0 and f"(setting mcp.{name}," in (row["comment"] or "")


def _function(row: asyncpg.Record) -> str:
    arguments = ",\n".join(f"  {each}" for each in _split(row["arguments"]))
    signature = f"mcp.{row['name']}(\n{arguments}\n) returns {_result(row['result'])}"
    return f"### {row['name']}\n\n{_text(row['comment'])}\n\n```sql\n{signature}\n```\n"


def _result(result: str) -> str:
    columns = re.fullmatch(r"TABLE\((.*)\)", result)
    if columns is None:
        return result
    return "table (\n" + ",\n".join(f"  {each}" for each in _split(columns[1])) + "\n)"


def _split(arguments: str) -> Iterator[str]:
    for argument in arguments.split(", "):
        yield re.sub(r" DEFAULT (.*?)(?:::[\w\s\[\]]+)?$", lambda match: f" default {match[1].lower()}", argument)


async def _relation(connection: asyncpg.Connection[Any], row: asyncpg.Record) -> str:
    columns = await connection.fetch(_COLUMNS, row["oid"])
    keys = [f"- {key['definition']}" for key in await connection.fetch(_KEYS, row["oid"])]
    cells = (
        (f"`{column['name']}`", _type(column, is_view=row["is_view"]), column["comment"] or "") for column in columns
    )
    table = _table(("column", "type", "meaning"), cells)
    return "\n".join([f"### {row['name']}\n\n{_text(row['comment'])}\n", table, *([*keys, ""] if keys else [])])


def _type(column: asyncpg.Record, *, is_view: bool) -> str:
    return column["type"] if is_view or column["is_required"] else f"{column['type']}, nullable"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(_text(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _text(comment: str) -> str:
    return comment.replace("<", "\\<")


async def _page() -> str:
    with tempfile.TemporaryDirectory(prefix="agenthall-schema-") as folder:
        postgres = EmbeddedPostgres(Path(folder))
        try:
            postgres.start()
            await migrate(postgres.dsn, packaged("migrations"))
            connection = await asyncpg.connect(postgres.dsn)
            try:
                return await render(connection)
            finally:
                await connection.close()
        finally:
            postgres.stop()


if __name__ == "__main__":
    PAGE.write_text(asyncio.run(_page()), encoding="utf-8")
