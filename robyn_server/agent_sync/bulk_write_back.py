"""Telling the catalogue which assistants its agents became, a page at a time. Best effort: what fails is owed, with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from robyn_server.metrics.definitions import WRITE_BACK_FAILURES

from .protocols import CataloguePool
from .source import STANDARD, CatalogueSource
from .write_back import WRITE_SECONDS, reason_of, write_back

_WRITE = """
with free as (
  select a.id from {table} a
   where a.id = any ($1::uuid[]) and a.{column}::text is distinct from a.id::text
   order by a.id
     for no key update skip locked
)
update {table} a set {column} = free.id
  from free
 where a.id = free.id
"""
"""A row that the product holds locked keeps the others waiting for nothing. An agent's assistant has the agent's id, which is
assigned as uuid: that fits a column of type uuid, text or varchar."""

_DIFFERENT = """
select a.id from {table} a
 where a.id = any ($1::uuid[]) and a.{column}::text is distinct from a.id::text
 order by a.id
"""

REFUSALS = 24
"""Statements that may fail for one page. Enough to find a few rows that a trigger of theirs refuses; where all are refused, the
page ends soon."""


async def write_back_page(
    pool: CataloguePool, agent_ids: Sequence[UUID], source: CatalogueSource = STANDARD
) -> Mapping[UUID, str]:
    """Writes where it differs; returns the reasons of those that could not be written. Never raises what the catalogue raises."""
    page = _Page(pool, source)
    await page.write(agent_ids)
    return page.owed


class _Page:
    def __init__(self, pool: CataloguePool, source: CatalogueSource) -> None:
        self.owed: dict[UUID, str] = {}
        self._pool = pool
        self._source = source
        self._write, self._different = (
            query.format(table=source.table, column=source.column) for query in (_WRITE, _DIFFERENT)
        )
        self._refusals_left = REFUSALS

    async def write(self, agent_ids: Sequence[UUID]) -> None:
        """A batch that is refused is halved, until the bad rows stand alone or it has been refused too often."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                status = await self._pool.execute(self._write, agent_ids)
        except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
            await self._halve(agent_ids, error)
            return
        if status != f"UPDATE {len(agent_ids)}":
            await self._write_held(agent_ids)

    async def _halve(self, agent_ids: Sequence[UUID], error: Exception) -> None:
        self._refusals_left -= 1
        if isinstance(error, TimeoutError):
            self._refusals_left = 0  # so would the rest, each time as late
        if self._refusals_left <= 0 or len(agent_ids) == 1:
            self._owe(agent_ids, error)
            return
        half = len(agent_ids) // 2
        for part in (agent_ids[:half], agent_ids[half:]):
            if self._refusals_left <= 0:
                self._owe(part, error)
            else:
                await self.write(part)

    async def _write_held(self, agent_ids: Sequence[UUID]) -> None:
        """Those whose rows somebody held, one at a time and with patience. At the first that fails it ends: so would the rest."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                held = [row["id"] for row in await self._pool.fetch(self._different, agent_ids)]
        except Exception as error:  # noqa: BLE001  best effort
            self._owe(agent_ids, error)
            return
        for number, agent_id in enumerate(held):
            try:
                if not await write_back(self._pool, agent_id, str(agent_id), self._source):
                    await self._ensure_written(agent_id)
            except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
                self._owe(held[number:], error)
                return

    async def _ensure_written(self, agent_id: UUID) -> None:
        """Nothing to write is well: somebody else did. Raises PermissionError where the row was out of reach."""
        if await self._pool.fetch(self._different, [agent_id]):
            raise PermissionError("an UPDATE does not reach the row: does row-level security lock it?")

    def _owe(self, agent_ids: Sequence[UUID], error: Exception) -> None:
        WRITE_BACK_FAILURES.inc(by=len(agent_ids))
        self.owed |= dict.fromkeys(agent_ids, reason_of(error))
