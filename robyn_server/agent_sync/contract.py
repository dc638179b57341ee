"""The contract with the catalogue: which tables and columns are read, and which of them the database really has.

Rules
  1. A column whose absence would change what an agent is or who may see it is required; without it nothing is synced.
  2. An optional column that is absent reads as its neutral value, and is reported.
  3. Nothing here is ever created or altered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from robyn_server.core.errors import CatalogueUnavailable

from .errors import CatalogueAbsent, ContractBroken
from .protocols import CataloguePool

READ_SECONDS = 30.0
"""No single reading of the catalogue may take longer; a page of 500 agents takes milliseconds."""

REQUIRED = {
    "agents": ("id", "organization_id", "name", "system_prompt", "status", "engine_id"),
    "agent_mcp_tools": ("agent_id", "mcp_tool_id"),
    "mcp_tools": ("id", "endpoint_url", "tool_name"),
    "global_ai_engines": ("id", "language_model_id"),
    "ai_models": ("id", "runtime_model_name"),
}
OPTIONAL = {
    "agents": (
        "description",
        "is_global",
        "sampling_params",
        "assistant_tool_ids",
        "langgraph_assistant_id",
        "graph_id",
        "engine_type",
        "deleted_at",
    ),
    "mcp_tools": ("is_builtin", "auth_required"),
}

_PROBE = """
select wanted.name as table_name, to_regclass('public.' || wanted.name) is not null as table_exists,
       a.attname::text as column_name,
       has_column_privilege(a.attrelid, a.attnum, 'select') as readable,
       has_column_privilege(a.attrelid, a.attnum, 'update') as writable
  from unnest($1::text[]) as wanted(name)
  left join pg_catalog.pg_attribute a
    on a.attrelid = to_regclass('public.' || wanted.name) and a.attnum > 0 and not a.attisdropped
"""


@dataclass(frozen=True, slots=True)
class CatalogueContract:
    """What a probe found. Columns are written `table.column`, all in schema public. Empty: everything is there."""

    missing_tables: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    unreadable_columns: tuple[str, ...] = ()
    absent_columns: tuple[str, ...] = ()
    """Optional ones."""
    can_write_back: bool = True

    @property
    def is_absent(self) -> bool:
        return len(self.missing_tables) == len(REQUIRED)

    @property
    def problems(self) -> list[str]:
        """What keeps the catalogue from being read, a sentence each."""
        return [
            *(f"table public.{name} is missing" for name in self.missing_tables),
            *(f"column public.{name} is missing" for name in self.missing_columns),
            *(f"no SELECT on column public.{name}" for name in self.unreadable_columns),
        ]

    def has(self, column: str) -> bool:
        return column not in self.absent_columns

    def ensure_usable(self) -> None:
        """Raises ContractBroken naming all that is missing; CatalogueAbsent when that is everything."""
        if self.is_absent:
            raise CatalogueAbsent("There is no catalogue in this database: " + "; ".join(self.problems))
        if self.problems:
            raise ContractBroken("The catalogue cannot be read: " + "; ".join(self.problems))


EXPECTED = CatalogueContract()


async def probe_catalogue(pool: CataloguePool) -> CatalogueContract:
    """Compares the contract with the database. Raises CatalogueUnavailable when it cannot be asked."""
    async with reading_catalogue():
        rows = await pool.fetch(_PROBE, list(REQUIRED))
    found = {f"{row['table_name']}.{row['column_name']}": row for row in rows if row["column_name"] is not None}
    missing_tables = tuple(name for name in REQUIRED if not any(_exists(row, name) for row in rows))
    required, optional = _columns(REQUIRED, missing_tables), _columns(OPTIONAL, missing_tables)
    return CatalogueContract(
        missing_tables,
        tuple(name for name in required if name not in found),
        tuple(name for name in (*required, *optional) if name in found and not found[name]["readable"]),
        tuple(name for name in optional if name not in found),
        can_write_back=_writable(found.get("agents.langgraph_assistant_id")),
    )


@asynccontextmanager
async def reading_catalogue() -> AsyncIterator[None]:
    """Whatever keeps the catalogue from answering leaves the block as CatalogueUnavailable, within READ_SECONDS."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            yield
    except asyncpg.SyntaxOrAccessError as error:
        raise ContractBroken(f"The catalogue does not keep its contract: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise CatalogueUnavailable("The catalogue's database does not answer; try again") from error


def _exists(row: Any, table: str) -> bool:
    return bool(row["table_name"] == table and row["table_exists"])


def _columns(tables: dict[str, tuple[str, ...]], without: Sequence[str]) -> list[str]:
    return [f"{table}.{column}" for table, columns in tables.items() if table not in without for column in columns]


def _writable(row: Any) -> bool:
    return row is not None and bool(row["writable"])
