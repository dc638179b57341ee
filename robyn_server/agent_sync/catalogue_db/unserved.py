"""Agents of a readable catalogue that no scope serves: an operator probably wants them."""

from __future__ import annotations

from robyn_server.core.errors import CatalogueUnavailable

from .contract import probe_catalogue, reading_catalogue
from .queries import bound, ids_query
from .source import STANDARD, CataloguePool, CatalogueSource

_MOST = 1000


async def count_unserved(pool: CataloguePool, source: CatalogueSource = STANDARD) -> int:
    """Count active agents, at most 1,000. 0 without a catalogue that can be read."""
    try:
        contract = await probe_catalogue(pool, source)
        if contract.is_absent or contract.problems:
            return 0
        async with reading_catalogue():
            return len(await pool.fetch(*bound(ids_query(source, contract, [], limit=_MOST))))
    except CatalogueUnavailable:
        return 0
