"""Items of the store. Each session is one transaction, and sees only what its owner has put."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from robyn_server.core.access.principal import Principal
from robyn_server.core.store.items import Namespace, NamespacePattern
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import to_json
from robyn_server.storage.postgres.pools import Connection, Pool, acting_as
from robyn_server.storage.postgres.queries import load

from .nearest import search_nearest

_SQL = load("store/items")
_SWEPT_AT_ONCE = 1000
_AFTER_ALL = "\U0010ffff"
"""Behind every path, in the order of collation "C"."""


class StoreItems:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def session(self, principal: Principal) -> AsyncIterator[StoreSession]:
        async with acting_as(self._pool, principal) as connection:
            yield StoreSession(connection, principal.identity)

    async def sweep(self) -> int:
        """Delete items that have expired, in batches. Return how many."""
        deleted = 0
        while True:
            async with translated():
                status = await self._pool.execute(*_SQL["sweep"].bind(limit=_SWEPT_AT_ONCE))
            count = int(status.rpartition(" ")[2])
            deleted += count
            if count < _SWEPT_AT_ONCE:
                return deleted


class StoreSession:
    """Bodies of items are JSON text: {namespace, key, value, created_at, updated_at}, and in a search also {score}."""

    def __init__(self, connection: Connection, owner: str) -> None:
        self._connection = connection
        self._owner = owner

    async def put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        ttl: timedelta | None,
        vectors: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """`vectors`: of the texts that a search by meaning compares, by field."""
        query = _SQL["put"].bind(
            owner=self._owner,
            namespace=namespace,
            key=key,
            value=to_json(value),
            ttl=ttl,
            fields=list(vectors or ()),
            vectors=[_array(vector) for vector in (vectors or {}).values()],
        )
        await self._connection.execute(*query)

    async def delete(self, namespace: Namespace, key: str) -> None:
        await self._connection.execute(*_SQL["delete"].bind(owner=self._owner, namespace=namespace, key=key))

    async def find(self, namespace: Namespace, key: str, *, refresh: bool) -> str | None:
        """`refresh`: the item lives for its whole lifetime again."""
        query = _SQL["find"].bind(owner=self._owner, namespace=namespace, key=key)
        body: str | None = await self._connection.fetchval(*query)
        if body is not None and refresh:
            await self._refresh([{"namespace": namespace, "key": key}])
        return body

    async def search(
        self,
        prefix: Namespace,
        where: Mapping[str, Any] | None,
        *,
        limit: int,
        offset: int,
        refresh: bool,
        near: Sequence[float] | None = None,
    ) -> list[str]:
        """The items of namespace `prefix` and of those below it: by namespace, in each the latest first.

        `near`: the nearest first.
        """
        page = {"owner": self._owner, "filter": to_json(where or None), "limit": limit, "offset": offset}
        if near is not None:
            rows = await search_nearest(self._connection, _bounds(prefix), near, page)
        elif prefix:
            rows = await self._connection.fetch(*_SQL["search_below"].bind(**page, prefix=prefix))
        else:
            rows = await self._connection.fetch(*_SQL["search_all"].bind(**page))
        if rows and refresh:
            await self._refresh([{"namespace": row["namespace"], "key": row["key"]} for row in rows])
        return [row["body"] for row in rows]

    async def list_namespaces(
        self, patterns: Sequence[NamespacePattern], *, depth: int | None, limit: int, offset: int
    ) -> list[list[str]]:
        """Namespaces that match all patterns, cut to `depth` labels, each once, in order."""
        begin, end = _bounds(_literal_prefix(patterns))
        # a pattern is matched with the whole namespace, so the walk may skip what is below `depth` only if none goes
        # that deep
        is_cut_later = depth is not None and any(each.is_suffix or len(each.path) > depth for each in patterns)
        given = {
            "owner": self._owner,
            "from_path": begin,
            "to_path": end,
            "patterns": to_json([{"path": each.path, "is_suffix": each.is_suffix} for each in patterns]),
            "limit": limit,
            "offset": offset,
        }
        query = (
            _SQL["list_namespaces_cut"].bind(**given, steps=None, depth=depth)
            if is_cut_later
            else _SQL["list_namespaces"].bind(**given, steps=depth)
        )
        return [row["namespace"] for row in await self._connection.fetch(*query)]

    async def _refresh(self, read: Sequence[Mapping[str, Any]]) -> None:
        await self._connection.execute(*_SQL["refresh"].bind(owner=self._owner, read=to_json(read)))


def _bounds(prefix: Namespace) -> tuple[str, str]:
    """The path of `prefix`, and the least text behind all paths below it, as `agenthall.after_path` computes it."""
    path = "".join(f"{label}." for label in prefix)
    return path, f"{path[:-1]}/" if path else _AFTER_ALL


def _array(vector: Sequence[float]) -> str:
    """A literal of `real[]`."""
    return "{" + ",".join(map(repr, vector)) + "}"


def _literal_prefix(patterns: Sequence[NamespacePattern]) -> Namespace:
    """The longest beginning that all matching namespaces have for sure."""
    literal: Namespace = ()
    for each in patterns:
        if not each.is_suffix:
            end = each.path.index("*") if "*" in each.path else len(each.path)
            literal = max(literal, each.path[:end], key=len)
    return literal
