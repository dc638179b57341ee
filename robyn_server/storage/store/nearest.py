"""The search of the store by meaning: exact in a namespace of usual size, nearly exact in a large one.

An index of all vectors is no help: it knows nothing of owners and namespaces (docs/adr/0015). So a search reads what
one owner has below one namespace: whole vectors up to MANY_TEXTS, and beyond that first their signs alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import asyncpg

from robyn_server.storage.postgres.pools import Connection
from robyn_server.storage.postgres.queries import load

Rows: TypeAlias = Sequence[asyncpg.Record]

MANY_TEXTS = 10_000
"""Texts below a namespace from which a search compares signs first. To compare fewer as a whole takes up to 70 ms."""
LAST_BY_SIGNS = 100
"""The last place of a page that such a search answers. One behind it would need more candidates."""
_COMPARED = 10_000
_CANDIDATES = 1_000
"""Texts with the nearest signs. Of so many, the first ones that match the filter are compared as a whole."""
_MOST_SIGNS = 4_096
"""Numbers of the longest vector whose signs are stored."""

_SQL = load("store/nearest")


async def search_nearest(
    connection: Connection, paths: tuple[str, str], vector: Sequence[float], page: Mapping[str, Any]
) -> Rows:
    """Return the items from the first path to before the second, the nearest to the vector first.

    `page`: owner, filter, limit and offset.
    """
    given = {**page, "from_path": paths[0], "to_path": paths[1], "vector": list(vector), "dimensions": len(vector)}
    if page["offset"] + page["limit"] <= LAST_BY_SIGNS and len(vector) <= _MOST_SIGNS:
        rows = await _search_by_signs(connection, vector, given)
        if len(rows) == page["limit"]:
            return rows
    return await connection.fetch(*_SQL["search_nearest_exactly"].bind(**given))


async def _search_by_signs(connection: Connection, vector: Sequence[float], given: Mapping[str, Any]) -> Rows:
    """Return nothing where an exact search is cheap, or where few items match the filter."""
    texts = {name: given[name] for name in ("owner", "from_path", "to_path")}
    if not await connection.fetchval(*_SQL["search_by_signs_has_many"].bind(**texts, many=MANY_TEXTS)):
        return []
    signs = "".join("1" if number > 0 else "0" for number in vector)
    query = _SQL["search_by_signs"].bind(**given, signs=signs, compared=_COMPARED, candidates=_CANDIDATES)
    return await connection.fetch(*query)
