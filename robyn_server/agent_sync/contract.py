"""The contract with the catalogue: which columns are read, and which of them the database really has. docs/catalogue.md tells it.

Rules
  1. A column whose absence would change what an agent is or who may see it is required; without it nothing is synced.
  2. An optional column that is absent reads as its neutral value, and is reported.
  3. Nothing here is ever created or altered.
  4. There are two forms, five tables with fixed names or one view of the product's own, and one answer: what is wrong, by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg

from robyn_server.core.errors import CatalogueUnavailable
from robyn_server.metrics.definitions import CONTRACT_PROBLEMS

from .errors import CatalogueAbsent, ContractBroken
from .protocols import CataloguePool
from .row_security import RowSecurity, probe_row_security
from .source import CONFIGURED, STANDARD, CatalogueSource

READ_SECONDS = 30.0
"""No single reading of the catalogue may take longer; a page of 500 agents takes milliseconds."""

REQUIRED = {
    "agents": ("id", "organization_id", "name", "system_prompt", "status", "engine_id"),
    "agent_mcp_tools": ("agent_id", "mcp_tool_id"),
    "mcp_tools": ("id", "endpoint_url", "tool_name"),
    "global_ai_engines": ("id", "language_model_id"),
    "ai_models": ("id", "runtime_model_name"),
}
_OPTIONAL_OF_AGENTS = (
    "description",
    "is_global",
    "sampling_params",
    "assistant_tool_ids",
    "langgraph_assistant_id",
    "graph_id",
    "engine_type",
)
OPTIONAL = {
    "agents": (*_OPTIONAL_OF_AGENTS, "deleted_at"),
    "mcp_tools": ("is_builtin", "auth_required"),
}
REQUIRED_OF_VIEW = ("agent_id", "organization_id", "name", "system_prompt", "runtime_model_name", "mcp_tools")
OPTIONAL_OF_VIEW = (*_OPTIONAL_OF_AGENTS, "engine_found")
CLOCK = "updated_at"
"""Optional everywhere, and never missed by a reading: where it is, edits are found by it."""

_TYPES = {"agents.id": "uuid", "agents.organization_id": "uuid", "agent_mcp_tools.agent_id": "uuid"}
"""Of the tables only what is compared with parameters: the rest reads as text, or each row is judged."""

_TYPES_OF_VIEW = {
    "agent_id": "uuid",
    "organization_id": "uuid",
    "name": "text",
    "description": "text",
    "is_global": "boolean",
    "system_prompt": "text",
    "sampling_params": "jsonb",
    "assistant_tool_ids": "uuid[]",
    "langgraph_assistant_id": "text or uuid",
    "graph_id": "text",
    "engine_type": "text",
    "engine_found": "boolean",
    "runtime_model_name": "text",
    "mcp_tools": "jsonb",
    "updated_at": "timestamp with time zone",
}
_FITTING: Mapping[str, frozenset[str]] = {
    "uuid": frozenset({"uuid"}),
    "text": frozenset({"S", "E"}),
    "text or uuid": frozenset({"S", "E", "uuid"}),
    "boolean": frozenset({"B"}),
    "jsonb": frozenset({"json", "jsonb"}),
    "uuid[]": frozenset({"A", "json", "jsonb"}),
    "timestamp with time zone": frozenset({"timestamp with time zone", "timestamp without time zone"}),
}
"""Types by name, or by PostgreSQL's category (S strings, E enumerations, B booleans, A arrays); a domain counts as its base."""

_ZONED = "timestamp with time zone"
_WRITTEN = "write back"

_PROBE = """
select wanted.name as table_name, relation.oid is not null as table_exists, a.attname::text as column_name,
       format_type(base.oid, null) as type, base.typcategory::text as category,
       has_column_privilege(a.attrelid, a.attnum, 'select') as readable,
       has_column_privilege(a.attrelid, a.attnum, 'update') as writable
  from unnest($1::text[], $2::text[]) as wanted (name, relation)
 cross join lateral (select to_regclass(wanted.relation)::oid as oid) relation
  left join pg_catalog.pg_attribute a on a.attrelid = relation.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_type own on own.oid = a.atttypid
  left join pg_catalog.pg_type base on base.oid = case own.typtype when 'd' then own.typbasetype else own.oid end
"""


@dataclass(frozen=True, slots=True)
class CatalogueContract:
    """What a probe found; empty: everything is there.

    Columns are written `table.column`, all in schema public; of a view just `column`. `mistyped`: {column: what is wrong}.
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
    can_write_back: bool = True
    row_security: RowSecurity = field(default_factory=RowSecurity)

    @property
    def is_absent(self) -> bool:
        """Nothing is there that looks like a catalogue. Who names a view says that there is one."""
        return self.view is None and len(self.missing_tables) == len(REQUIRED)

    @property
    def problems(self) -> list[str]:
        """What keeps the catalogue from being read, a sentence each."""
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
        """What is read and has no `updated_at`: edits there are found by full passes only."""
        if self.view is not None:
            return [] if self.clocks else [self.view]
        return [f"public.{table}" for table in REQUIRED if f"{table}.{CLOCK}" not in self.clocks]

    def has(self, column: str) -> bool:
        return column not in self.absent_columns

    def ensure_usable(self) -> None:
        """Raises ContractBroken naming all that is wrong; CatalogueAbsent when nothing is there."""
        if self.view != CONFIGURED:  # the metric is the catalogue's
            CONTRACT_PROBLEMS.set(0 if self.is_absent else len(self.problems))
        if self.is_absent:
            raise CatalogueAbsent("There is no catalogue in this database: " + "; ".join(self.problems))
        if self.problems:
            raise ContractBroken("The catalogue cannot be read: " + "; ".join(self.problems))


EXPECTED = CatalogueContract()

_FOUND: WeakKeyDictionary[Any, dict[CatalogueSource, CatalogueContract]] = WeakKeyDictionary()


def last_found(pool: CataloguePool, source: CatalogueSource) -> CatalogueContract:
    """What the last probe found, so that not every reading is refused first; EXPECTED before there was one, or where it found trouble.

    Each pass over the scope probes, and so hears of a column that was added.
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
    """Compares the contract with the database. Raises CatalogueUnavailable when it cannot be asked."""
    names = list(REQUIRED) if source.view is None else [source.view]
    relations = [f"public.{name}" for name in names] if source.view is None else names
    async with reading_catalogue():
        rows = await pool.fetch(_PROBE, [*names, _WRITTEN], [*relations, source.table])
        row_security = await probe_row_security(pool, relations, source.table)
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
        _mistyped(found, _TYPES),
        _clocks(found, (f"{table}.{CLOCK}" for table in REQUIRED)),
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
        can_write_back,
    )


_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""InternalClientError: the driver has just read the server's last words on a connection that lay idle, and is asked to use it."""


@asynccontextmanager
async def reading_catalogue() -> AsyncIterator[None]:
    """Whatever keeps the catalogue from answering leaves the block as CatalogueUnavailable, within READ_SECONDS."""
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
