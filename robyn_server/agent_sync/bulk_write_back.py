"""Telling the catalogue which assistants its agents became, a page at a time. Best effort: what fails is owed, with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from .protocols import CataloguePool
from .write_back import WRITE_SECONDS, reason_of, write_back

_WRITE = """
with free as (
  select a.id from public.agents a
   where a.id = any ($1::uuid[]) and a.langgraph_assistant_id::text is distinct from a.id::text
   order by a.id
     for no key update skip locked
)
update public.agents a set langgraph_assistant_id = free.id
  from free
 where a.id = free.id
"""
"""A row that the product holds locked keeps the others waiting for nothing. An agent's assistant has the agent's id, which is
assigned as uuid: that fits a column of type uuid, text or varchar."""

_DIFFERENT = """
select a.id from public.agents a
 where a.id = any ($1::uuid[]) and a.langgraph_assistant_id::text is distinct from a.id::text
 order by a.id
"""

REFUSALS = 24
"""Statements that may fail for one page. Enough to find a few rows that a trigger of theirs refuses; where all are refused, the
page ends soon."""


async def write_back_page(pool: CataloguePool, agent_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """Writes where it differs; returns the reasons of those that could not be written. Never raises what the catalogue raises."""
    page = _Page(pool)
    await page.write(agent_ids)
    return page.owed


class _Page:
    def __init__(self, pool: CataloguePool) -> None:
        self.owed: dict[UUID, str] = {}
        self._pool = pool
        self._refusals_left = REFUSALS

    async def write(self, agent_ids: Sequence[UUID]) -> None:
        """A batch that is refused is halved, until the bad rows stand alone or it has been refused too often."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                status = await self._pool.execute(_WRITE, agent_ids)
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
                held = [row["id"] for row in await self._pool.fetch(_DIFFERENT, agent_ids)]
        except Exception as error:  # noqa: BLE001  best effort
            self._owe(agent_ids, error)
            return
        for number, agent_id in enumerate(held):
            try:
                await write_back(self._pool, agent_id, str(agent_id))
            except Exception as error:  # noqa: BLE001  best effort: a trigger of theirs may raise anything
                self._owe(held[number:], error)
                return

    def _owe(self, agent_ids: Sequence[UUID], error: Exception) -> None:
        self.owed |= dict.fromkeys(agent_ids, reason_of(error))
