"""Use cases of the store: items that belong to their owner, whether a client or a graph puts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import FieldNotOffered
from robyn_server.core.store.items import NamespacePattern, check_filter, check_name, check_namespace
from robyn_server.core.store.options import StoreLifetimes
from robyn_server.core.ttl import check_ttl
from robyn_server.graphs.embeddings import ItemEmbedder, Paths
from robyn_server.storage.store.items import StoreItems


class StoreService:
    """Answers are JSON text. Every method raises Invalid for a name, filter or lifetime that breaks a rule of
    core/store/items.py.

    Without an embedder there is no index by meaning. With one, `put` and a search with `query` raise the errors of
    ItemEmbedder.
    """

    def __init__(
        self, items: StoreItems, embedder: ItemEmbedder | None = None, lifetimes: StoreLifetimes | None = None
    ) -> None:
        self._items = items
        self._embedder = embedder
        self._lifetimes = lifetimes or StoreLifetimes()

    async def put(
        self,
        principal: Principal,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any],
        *,
        ttl: float | None,
        index: Paths,
    ) -> None:
        """`ttl`: minutes.

        `index`: paths of the texts to index. Raises FieldNotOffered for them if there is no index.
        """
        checked = check_name(namespace, key)
        lifetime = check_ttl(self._lifetimes.default_ttl if ttl is None else ttl)
        if index and self._embedder is None:
            raise _no_index("index", "leave it out")
        vectors = await self._embedder.embed_item(value, index) if self._embedder else {}
        async with self._items.session(principal) as session:
            await session.put(checked, key, value, lifetime, vectors)

    async def delete(self, principal: Principal, namespace: Sequence[str], key: str) -> None:
        """An item that is not there is deleted already."""
        checked = check_name(namespace, key)
        async with self._items.session(principal) as session:
            await session.delete(checked, key)

    async def find(self, principal: Principal, namespace: Sequence[str], key: str, *, refresh: bool | None) -> str:
        """The item, or `null`."""
        checked = check_name(namespace, key)
        async with self._items.session(principal) as session:
            return await session.find(checked, key, refresh=self._refreshes(refresh)) or "null"

    async def search(
        self,
        principal: Principal,
        prefix: Sequence[str],
        where: Mapping[str, Any] | None,
        *,
        query: str | None,
        limit: int,
        offset: int,
        refresh: bool | None,
    ) -> str:
        """`query`: the items whose meaning is nearest come first.

        Raises FieldNotOffered for it if there is no index.
        """
        checked = check_namespace(prefix, "namespace_prefix", may_be_empty=True)
        check_filter(where or {})
        if query and self._embedder is None:
            raise _no_index("query", "search with 'filter'")
        near = await self._embedder.embed_query(query) if query and self._embedder else None
        refreshes = self._refreshes(refresh)
        async with self._items.session(principal) as session:
            found = await session.search(checked, where, limit=limit, offset=offset, refresh=refreshes, near=near)
        return f'{{"items":[{",".join(found)}]}}'

    async def list_namespaces(
        self, principal: Principal, patterns: Sequence[NamespacePattern], **page: Any
    ) -> list[list[str]]:
        for each in patterns:
            check_namespace(each.path, "suffix" if each.is_suffix else "prefix")
        async with self._items.session(principal) as session:
            return await session.list_namespaces(patterns, **page)

    def _refreshes(self, given: bool | None) -> bool:
        return self._lifetimes.refresh_on_read if given is None else given


def _no_index(field: str, instead: str) -> FieldNotOffered:
    return FieldNotOffered(
        f"'{field}' needs an index by meaning, and this server has none: set AGENTHALL_STORE_INDEX, or {instead}.",
        field=field,
    )
