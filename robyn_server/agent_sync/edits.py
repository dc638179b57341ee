"""Which agents were edited lately, by `updated_at`: for catalogues that do not tell it themselves.

Rules
  1. A look goes back to the last one, and OVERLAP further: a transaction writes its beginning's time and commits later, and an
     application may write its own clock's. What has been told already is not told again.
  2. What is older by then, a row that is gone, and a table without `updated_at`, are found by the next full pass.
  3. The catalogue's database says what time it is. Its clock, and not the latest `updated_at`, is the watermark: one row from
     the future would hide all edits until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import AgentSource

from .catalogue_sql import edits_query
from .contract import REQUIRED, CatalogueContract, probe_catalogue, reading_catalogue
from .errors import ContractBroken
from .protocols import CataloguePool
from .source import STANDARD, CatalogueSource

OVERLAP = timedelta(seconds=30)
MOST_EDITS = 1_000
"""Agents of one look. Where there are more, all are looked at."""

_CLOCK = "select clock_timestamp() as now"

_WATCHED = """
with recursive used (relation) as (
  select to_regclass(name)::oid from unnest($1::text[]) as name
  union
  select d.refobjid
    from used
    join pg_catalog.pg_rewrite r on r.ev_class = used.relation
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
                               and d.refclassid = 'pg_catalog.pg_class'::regclass
)
select c.oid::regclass::text as name, exists (
         select from pg_catalog.pg_trigger t
           join pg_catalog.pg_proc f on f.oid = t.tgfoid
           join pg_catalog.pg_namespace n on n.oid = f.pronamespace
          where t.tgrelid = c.oid and t.tgenabled in ('O', 'A') and n.nspname = $2) as is_watched
  from used
  join pg_catalog.pg_class c on c.oid = used.relation and c.relkind in ('r', 'p', 'f', 'm')
"""
"""The tables behind the catalogue, through any number of views, and whether a trigger of the feed's is on each."""


@dataclass(frozen=True, slots=True)
class Edits:
    """`agent_ids` were edited since the last look. `are_many`: so were others."""

    agent_ids: frozenset[UUID]
    are_many: bool = False


async def is_feed_installed(pool: CataloguePool, source: CatalogueSource = STANDARD) -> bool:
    """Whether every table that the catalogue is read from tells its edits. Raises CatalogueUnavailable."""
    relations, told_by = _watched(source)
    async with reading_catalogue():
        rows = await pool.fetch(_WATCHED, relations, told_by)
    return bool(rows) and all(row["is_watched"] for row in rows)


def _watched(source: CatalogueSource) -> tuple[list[str], str]:
    """What tells its edits, and the schema of the functions that tell them. A configuration's type never changes."""
    if source.origin is AgentSource.CONFIGURATION:
        return ["mcp.agent_configurations"], "agenthall"
    return [f"public.{name}" for name in REQUIRED] if source.view is None else [source.view], "agenthall_catalogue"


class RecentEdits:
    def __init__(self, pool: CataloguePool, source: CatalogueSource = STANDARD, overlap: timedelta = OVERLAP) -> None:
        self._pool = pool
        self._source = source
        self._overlap = overlap
        self._contract: CatalogueContract | None = None
        self._since: datetime | None = None
        self._without_clock: list[str] | None = None
        self._told: Mapping[UUID, str] = {}

    @property
    def without_clock(self) -> list[str] | None:
        """What is read and has no `updated_at`; None before the first look."""
        return self._without_clock

    def pause(self) -> None:
        """Somebody else tells of edits now: the next look begins anew."""
        self._since, self._told = None, {}

    def probe_again(self) -> None:
        """The schema may have changed: a table may have got an `updated_at`."""
        self._contract = None

    async def look(self) -> Edits:
        """Raises CatalogueUnavailable; the next look goes back to the last that did not."""
        contract = self._contract = self._contract or await probe_catalogue(self._pool, self._source)
        if not contract.clocks:
            self._without_clock, self._contract = contract.without_clock, None  # it may get one
            return Edits(frozenset())
        self._without_clock = contract.without_clock
        now, rows = await self._read(contract)
        told, self._told = self._told, {row["agent_id"]: row["moment"] for row in rows}
        self._since = now
        new = frozenset(agent_id for agent_id, moment in self._told.items() if told.get(agent_id) != moment)
        return Edits(new, are_many=len(new) > MOST_EDITS)

    async def _read(self, contract: CatalogueContract) -> tuple[datetime, Any]:
        try:
            async with reading_catalogue():
                now: datetime = (await self._pool.fetchrow(_CLOCK))["now"]
                since = (self._since or now) - self._overlap
                query = edits_query(self._source, contract.clocks)
                return now, await self._pool.fetch(query, since, MOST_EDITS + 1)
        except ContractBroken:
            self._contract = None  # a column or a table has gone: probed anew next time
            raise
