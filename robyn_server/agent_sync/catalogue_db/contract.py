"""The contract with the catalogue: which columns are read, and which of them the database has. See
docs/reference/catalogue.md.

Rules
  1. A column is required if an agent would be another, or visible to others, without it. Then nothing is synced.
  2. An optional column that is absent reads as null, and is reported.
  3. Nothing here is ever created or altered.
  4. The catalogue is either five tables with fixed names or one view. For both the probe names everything that is
     wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg

from robyn_server.agent_sync.errors import CatalogueAbsent, ContractBroken
from robyn_server.core.errors import CatalogueUnavailable
from robyn_server.metrics.definitions import CONTRACT_PROBLEMS

from . import fields
from .fields import CLOCK
from .row_security import RowSecurity, probe_row_security
from .source import CONFIGURED, STANDARD, CataloguePool, CatalogueSource

READ_SECONDS = 30.0
"""Limit of one read of the catalogue. A page of 500 agents takes milliseconds."""

REQUIRED = {
    "agents": (*fields.columns(required=True), "status"),
    "agent_mcp_tools": ("agent_id", "mcp_tool_id"),
    "mcp_tools": ("id", "endpoint_url", "tool_name"),
    "global_ai_engines": ("id", "language_model_id"),
    "ai_models": ("id", "runtime_model_name"),
}
OPTIONAL = {
    "agents": (*fields.columns(required=False), "deleted_at"),
    "mcp_tools": ("is_builtin", "auth_required"),
}
REQUIRED_OF_VIEW = fields.names(fields.OF_VIEW, required=True)
OPTIONAL_OF_VIEW = fields.names(fields.OF_VIEW, required=False)

_KEY = "uuid, text or integer"
_MOMENT = "timestamp or date"
_ZONED = "timestamp with time zone"
TYPES_OF_TABLES = {
    **{f"agents.{field.column}": field.type or _KEY for field in fields.COLUMNS},
    "agents.status": "text",
    "agents.deleted_at": _MOMENT,
    "agent_mcp_tools.agent_id": "uuid",
    "agent_mcp_tools.mcp_tool_id": _KEY,
    "mcp_tools.id": _KEY,
    "mcp_tools.endpoint_url": "text",
    "mcp_tools.tool_name": "text",
    "mcp_tools.is_builtin": "boolean",
    "mcp_tools.auth_required": "boolean",
    "global_ai_engines.id": _KEY,
    "global_ai_engines.language_model_id": _KEY,
    "ai_models.id": _KEY,
    "ai_models.runtime_model_name": "text",
    **{f"{table}.{CLOCK}": _ZONED for table in REQUIRED},
}
"""Every column of the tables that is read. Of another type it could make every agent inactive, or fail each of them."""

_TYPES_OF_VIEW = fields.types_of_view()
_FITTING: Mapping[str, frozenset[str]] = {
    "uuid": frozenset({"uuid"}),
    "text": frozenset({"S", "E"}),
    "text or uuid": frozenset({"S", "E", "uuid"}),
    "boolean": frozenset({"B"}),
    "jsonb": frozenset({"json", "jsonb"}),
    "uuid[]": frozenset({"uuid[]", "text[]", "character varying[]", "json", "jsonb"}),
    _KEY: frozenset({"S", "E", "uuid", "smallint", "integer", "bigint"}),
    _MOMENT: frozenset({"timestamp with time zone", "timestamp without time zone", "date"}),
    _ZONED: frozenset({"timestamp with time zone", "timestamp without time zone"}),
}
"""Types by name, or by PostgreSQL's category (S strings, E enumerations, B booleans, A arrays); a domain counts as its
base."""

_WRITTEN = "write back"

_PROBE = """
select wanted.name as table_name, relation.oid is not null as table_exists, a.attname::text as column_name,
       format_type(base.oid, null) as type, base.typcategory::text as category,
       has_column_privilege(a.attrelid, a.attnum, 'select') as readable,
       has_column_privilege(a.attrelid, a.attnum, 'update') and current_setting('transaction_read_only') = 'off'
         as writable
  from unnest($1::text[], $2::text[]) as wanted (name, relation)
 cross join lateral (select to_regclass(wanted.relation)::oid as oid) relation
  left join pg_catalog.pg_attribute a on a.attrelid = relation.oid and a.attnum > 0 and not a.attisdropped
  left join lateral (
    with recursive domains as (
      select own.oid, own.typbasetype from pg_catalog.pg_type own where own.oid = a.atttypid
      union all
      select below.oid, below.typbasetype from domains join pg_catalog.pg_type below on below.oid = domains.typbasetype)
    select t.oid, t.typcategory from domains join pg_catalog.pg_type t on t.oid = domains.oid and domains.typbasetype = 0
  ) base on true
"""


@dataclass(frozen=True, slots=True)
class CatalogueContract:
    """The findings of a probe. Empty: the database keeps the contract.

    Columns are written `table.column`, all in schema public; of a view just `column`. `mistyped`: {column: problem}.
    `clocks`: {column `updated_at`: whether it has a time zone}, those that can be read.
    """

    view: str | None = None
    missing_tables: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    unreadable_columns: tuple[str, ...] = ()
    absent_columns: tuple[str, ...] = ()
    """Optional ones."""
    mistyped: Mapping[str, str] = field(default_factory=dict)
    clocks: Mapping[str, bool] = field(default_factory=dict)
    unreadable_clocks: tuple[str, ...] = ()
    """Relations that have `updated_at`, which may not be read."""
    can_write_back: bool = True
    row_security: RowSecurity = field(default_factory=RowSecurity)

    @property
    def is_absent(self) -> bool:
        """None of the five tables exists. Where a view is configured, a catalogue is expected."""
        return self.view is None and len(self.missing_tables) == len(REQUIRED)

    @property
    def problems(self) -> list[str]:
        """Reasons why the catalogue cannot be read, a sentence each."""
        if self.view is not None and self.missing_tables:
            return [f"view {self.view} is missing"]
        prefix = self.view or "public"
        return [
            *(f"table public.{name} is missing" for name in self.missing_tables),
            *(f"column {prefix}.{name} is missing" for name in self.missing_columns),
            *(f"no SELECT on column {prefix}.{name}" for name in self.unreadable_columns),
            *(f"column {prefix}.{name} {wrong}" for name, wrong in self.mistyped.items()),
            *self.row_security.problems,
        ]

    @property
    def without_clock(self) -> list[str]:
        """Relations without `updated_at`: only full passes find edits in them."""
        if self.view is not None:
            return [] if self.clocks else [self.view]
        return [f"public.{table}" for table in REQUIRED if f"{table}.{CLOCK}" not in self.clocks]

    def has(self, column: str) -> bool:
        return column not in self.absent_columns

    def ensure_usable(self) -> None:
        """Raises ContractBroken naming all problems, CatalogueAbsent when there is no catalogue."""
        if self.view != CONFIGURED:  # the metric is the catalogue's
            CONTRACT_PROBLEMS.set(0 if self.is_absent else len(self.problems))
        if self.is_absent:
            raise CatalogueAbsent("There is no catalogue in this database: " + "; ".join(self.problems))
        if self.problems:
            raise ContractBroken("The catalogue cannot be read: " + "; ".join(self.problems))


EXPECTED = CatalogueContract()

_FOUND: WeakKeyDictionary[Any, dict[CatalogueSource, CatalogueContract]] = WeakKeyDictionary()


def last_found(pool: CataloguePool, source: CatalogueSource) -> CatalogueContract:
    """The findings of the last probe; EXPECTED before the first probe, or if it found problems.

    Without them every read would be refused once for an absent column. Each full pass probes, and so finds an added
    column.
    """
    try:
        found = _FOUND.get(pool, {}).get(source, EXPECTED)
    except TypeError:  # unhashable, or without weak references
        return EXPECTED
    return EXPECTED if found.problems else found


def _remember(pool: CataloguePool, source: CatalogueSource, found: CatalogueContract) -> CatalogueContract:
    with suppress(TypeError):  # as above
        _FOUND.setdefault(pool, {})[source] = found
    return found


async def probe_catalogue(pool: CataloguePool, source: CatalogueSource = STANDARD) -> CatalogueContract:
    """Compare the contract with the database. Raises CatalogueUnavailable."""
    names = list(REQUIRED) if source.view is None else [source.view]
    relations = [f"public.{name}" for name in names] if source.view is None else names
    async with reading_catalogue():
        rows = await pool.fetch(_PROBE, [*names, _WRITTEN], [*relations, source.table])
        row_security = await probe_row_security(pool, relations, source.table)
    if not rows:  # a database answers with a row for each name; a pool that is a stand-in has nothing to compare with
        return EXPECTED
    found = {f"{row['table_name']}.{row['column_name']}": row for row in rows if row["column_name"] is not None}
    missing = tuple(name for name in names if not any(_exists(row, name) for row in rows))
    written = found.get(f"{_WRITTEN}.{source.column_name}")
    can_write_back = written is not None and bool(written["writable"]) and not row_security.locked
    if source.view is None:
        tables = _of_tables(found, missing, can_write_back=can_write_back)
        return _remember(pool, source, replace(tables, row_security=row_security))
    columns = {name.removeprefix(f"{source.view}."): row for name, row in found.items()}
    view = _of_view(source.view, columns, missing, can_write_back=can_write_back)
    return _remember(pool, source, replace(view, row_security=row_security))


def _of_tables(found: Mapping[str, Any], missing: tuple[str, ...], *, can_write_back: bool) -> CatalogueContract:
    required, optional = (_columns(tables, missing) for tables in (REQUIRED, OPTIONAL))
    return CatalogueContract(
        None,
        missing,
        tuple(name for name in required if name not in found),
        _unreadable(found, (*required, *optional)),
        tuple(name for name in optional if name not in found),
        _mistyped(found, TYPES_OF_TABLES),
        _clocks(found, (f"{table}.{CLOCK}" for table in REQUIRED)),
        tuple(f"public.{table}" for table in REQUIRED if _unreadable(found, [f"{table}.{CLOCK}"])),
        can_write_back,
    )


def _of_view(
    view: str, found: Mapping[str, Any], missing: tuple[str, ...], *, can_write_back: bool
) -> CatalogueContract:
    return CatalogueContract(
        view,
        missing,
        () if missing else tuple(name for name in REQUIRED_OF_VIEW if name not in found),
        _unreadable(found, (*REQUIRED_OF_VIEW, *OPTIONAL_OF_VIEW)),
        tuple(name for name in OPTIONAL_OF_VIEW if name not in found),
        _mistyped(found, _TYPES_OF_VIEW),
        _clocks(found, [CLOCK]),
        (view,) if _unreadable(found, [CLOCK]) else (),
        can_write_back,
    )


_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""InternalClientError: the driver raises it for an idle connection that the server has just closed."""


@asynccontextmanager
async def reading_catalogue() -> AsyncIterator[None]:
    """Raise CatalogueUnavailable for every error of the catalogue's database, and after READ_SECONDS."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            yield
    except asyncpg.SyntaxOrAccessError as error:
        raise ContractBroken(f"The catalogue does not keep its contract: {error}") from error
    except _AWAY as error:
        raise CatalogueUnavailable("The catalogue's database does not answer; try again") from error


def _exists(row: Any, table: str) -> bool:
    return bool(row["table_name"] == table and row["table_exists"])


def _columns(tables: Mapping[str, tuple[str, ...]], without: Iterable[str]) -> list[str]:
    return [f"{table}.{column}" for table, columns in tables.items() if table not in without for column in columns]


def _unreadable(found: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in found and not found[name]["readable"])


def _mistyped(found: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, str]:
    return {
        name: f"is of type {found[name]['type']}, not {wanted}"
        for name, wanted in types.items()
        if name in found and not {found[name]["type"], found[name]["category"]} & _FITTING[wanted]
    }


def _clocks(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, bool]:
    fitting = _FITTING[_ZONED]
    return {
        name: found[name]["type"] == _ZONED
        for name in names
        if name in found and found[name]["readable"] and found[name]["type"] in fitting
    }
