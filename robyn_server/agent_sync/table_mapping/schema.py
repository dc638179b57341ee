"""The tables of a database, with the columns and foreign keys that a mapping can use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robyn_server.agent_sync.catalogue_db.contract import reading_catalogue
from robyn_server.agent_sync.catalogue_db.source import CataloguePool
from robyn_server.core.errors import Misconfigured

TABLE_KINDS = frozenset("rp")
"""Tables and partitioned tables. Only these can have the feed's triggers."""

_COLUMNS = """
select n.nspname as schema, c.relname as relation, c.relkind::text as kind,
       quote_ident(n.nspname) as schema_sql, quote_ident(n.nspname) || '.' || quote_ident(c.relname) as sql,
       a.attname as name, quote_ident(a.attname) as column_sql,
       format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null) as type, t.typcategory::text as category,
       coalesce(key.is_unique, false) as is_unique, coalesce(key.is_primary, false) as is_primary,
       quote_ident(tn.nspname) || '.' || quote_ident(tc.relname) as target, ta.attname as target_column
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid
  left join lateral (
    select bool_or(i.indisunique) as is_unique, bool_or(i.indisprimary) as is_primary from pg_catalog.pg_index i
     where i.indrelid = c.oid and i.indnkeyatts = 1 and i.indkey[0] = a.attnum and i.indpred is null) key on true
  left join lateral (
    select f.confrelid, f.confkey[1] as confkey from pg_catalog.pg_constraint f
     where f.contype = 'f' and f.conrelid = c.oid and f.conkey = array[a.attnum] limit 1) fk on true
  left join pg_catalog.pg_class tc on tc.oid = fk.confrelid
  left join pg_catalog.pg_namespace tn on tn.oid = tc.relnamespace
  left join pg_catalog.pg_attribute ta on ta.attrelid = tc.oid and ta.attnum = fk.confkey
 where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
   and n.nspname not in ('information_schema', 'agenthall', 'agenthall_catalogue', 'mcp')
   and n.nspname !~ '^pg_'
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """`sql`: the quoted name.

    `category`: PostgreSQL's (S strings, E enumerations, B booleans, D times, N numbers, U others).
    """

    name: str
    sql: str
    type: str
    category: str
    is_unique: bool = False

    @property
    def is_text(self) -> bool:
        return self.category in {"S", "E"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of one column."""

    table: str
    column: str


@dataclass(frozen=True, slots=True)
class Table:
    """`sql`: the quoted name with its schema, by which `Schema.tables` has it.

    `key`: the primary key's column, if it is one.
    """

    schema: str
    name: str
    schema_sql: str
    sql: str
    kind: str
    columns: Mapping[str, Column]
    references: Mapping[str, Reference]
    key: str | None

    @property
    def is_table(self) -> bool:
        return self.kind in TABLE_KINDS


@dataclass(frozen=True, slots=True)
class Schema:
    tables: Mapping[str, Table]

    def find(self, name: str, option: str) -> Table:
        """The table `schema.name`, or the only one of that name. Raises Misconfigured naming the option."""
        found = [each for each in self.tables.values() if name in {each.sql, f"{each.schema}.{each.name}", each.name}]
        if len(found) == 1:
            return found[0]
        if found:
            raise Misconfigured(
                f"{option}: {name!r} is one of {', '.join(each.sql for each in found)}; name its schema"
            )
        raise Misconfigured(f"{option}: there is no table {name!r} that this login can see")

    def referring_to(self, table: Table) -> list[tuple[Table, str]]:
        """The tables with a foreign key to `table`, and the key's column."""
        return [
            (each, column)
            for each in self.tables.values()
            for column, reference in each.references.items()
            if reference.table == table.sql
        ]


async def read_schema(pool: CataloguePool) -> Schema:
    """Read all tables but the server's own. Raises CatalogueUnavailable."""
    async with reading_catalogue():
        rows = await pool.fetch(_COLUMNS)
    by_table = dict[str, list[Any]]()
    for row in rows:
        by_table.setdefault(row["sql"], []).append(row)
    return Schema({name: _table(columns) for name, columns in by_table.items()})


def _table(rows: list[Any]) -> Table:
    first = rows[0]
    columns = {
        row["name"]: Column(row["name"], row["column_sql"], row["type"], row["category"], row["is_unique"])
        for row in rows
    }
    references = {
        row["name"]: Reference(row["target"], row["target_column"]) for row in rows if row["target"] is not None
    }
    key = next((row["name"] for row in rows if row["is_primary"]), None)
    return Table(
        first["schema"], first["relation"], first["schema_sql"], first["sql"], first["kind"], columns, references, key
    )
