"""Poll for edited agents by `updated_at`, in catalogues without triggers.

Rules
  1. A poll goes back to the last one, and OVERLAP further: a transaction writes the time of its beginning and commits
     later, and an application may write its own clock's time. An edit that was returned already is not returned again.
  2. An edit that is older by then, a deleted row, and a table without `updated_at` are left to the next full pass.
  3. The watermark is the clock of the catalogue's database, not the latest `updated_at`: one row from the future would
     hide all edits until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from robyn_server.agent_sync.errors import ContractBroken
from robyn_server.core.catalogue.fields import AgentSource

from .contract import REQUIRED, CatalogueContract, probe_catalogue, reading_catalogue
from .queries import bound, edits_query
from .source import STANDARD, CataloguePool, CatalogueSource

OVERLAP = timedelta(seconds=30)
MAX_EDITS = 1_000
"""Agents of one poll. Where there are more, the whole scope is compared."""

_CLOCK = "select clock_timestamp() as now"

_WATCHED = """
with recursive used (relation) as (
  select to_regclass(name)::oid from unnest(:relations::text[]) as name
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
          where t.tgrelid = c.oid and t.tgenabled in ('O', 'A') and n.nspname = :schema) as is_watched
  from used
  join pg_catalog.pg_class c on c.oid = used.relation and c.relkind in ('r', 'p', 'f', 'm')
"""
"""The tables behind the catalogue, through any number of views, and whether each has a trigger of the feed."""


@dataclass(frozen=True, slots=True)
class Edits:
    """`agent_ids` were edited since the last poll. `overflow`: so were others."""

    agent_ids: frozenset[UUID]
    overflow: bool = False


async def is_feed_installed(pool: CataloguePool, source: CatalogueSource = STANDARD) -> bool:
    """Whether every table that the catalogue is read from announces its edits. Raises CatalogueUnavailable."""
    relations, schema = _watched(source)
    async with reading_catalogue():
        rows = await pool.fetch(*bound(_WATCHED, relations=relations, schema=schema))
    return bool(rows) and all(row["is_watched"] for row in rows)


def _watched(source: CatalogueSource) -> tuple[list[str], str]:
    """The relations that announce their edits, and the schema of their trigger functions.

    A configuration's type never changes.
    """
    if source.origin is AgentSource.CONFIGURATION:
        return ["mcp.agent_configurations"], "agenthall"
    return [f"public.{name}" for name in REQUIRED] if source.view is None else [source.view], "agenthall_catalogue"


class EditPoller:
    def __init__(self, pool: CataloguePool, source: CatalogueSource = STANDARD, overlap: timedelta = OVERLAP) -> None:
        self._pool = pool
        self._source = source
        self._overlap = overlap
        self._contract: CatalogueContract | None = None
        self._since: datetime | None = None
        self._without_clock: list[str] | None = None
        self._seen: Mapping[UUID, str] = {}

    @property
    def without_clock(self) -> list[str] | None:
        """The relations that have no `updated_at`; None before the first poll."""
        return self._without_clock

    def pause(self) -> None:
        """Start over at the next poll: until then the feed announces edits."""
        self._since, self._seen = None, {}

    def probe_again(self) -> None:
        """Probe the schema at the next poll: a table may have got an `updated_at`."""
        self._contract = None

    async def poll(self) -> Edits:
        """Raises CatalogueUnavailable; the next poll goes back to the last that did not."""
        contract = self._contract = self._contract or await probe_catalogue(self._pool, self._source)
        if not contract.clocks:
            self._without_clock, self._contract = contract.without_clock, None  # it may get one
            return Edits(frozenset())
        self._without_clock = contract.without_clock
        now, rows = await self._read(contract)
        seen, self._seen = self._seen, {row["agent_id"]: row["moment"] for row in rows}
        self._since = now
        new = frozenset(agent_id for agent_id, moment in self._seen.items() if seen.get(agent_id) != moment)
        return Edits(new, overflow=len(new) > MAX_EDITS)

    async def _read(self, contract: CatalogueContract) -> tuple[datetime, Any]:
        try:
            async with reading_catalogue():
                now: datetime = (await self._pool.fetchrow(_CLOCK))["now"]
                since = (self._since or now) - self._overlap
                query = edits_query(self._source, contract.clocks)
                return now, await self._pool.fetch(*bound(query, since=since, limit=MAX_EDITS + 1))
        except ContractBroken:
            self._contract = None  # a column or a table is missing: probe it again next time
            raise
