"""Use cases of the store: items that belong to their owner, whether a client or a graph puts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robyn_server.core.principal import Principal
from robyn_server.core.store import NamespacePattern, check_filter, check_name, check_namespace, check_ttl
from robyn_server.storage.store_items import StoreItems


class StoreService:
    """Answers are JSON text. Every method raises Invalid for a name, filter or lifetime that breaks a rule of core/store.py."""

    def __init__(self, items: StoreItems) -> None:
        self._items = items

    async def put(
        self, principal: Principal, namespace: Sequence[str], key: str, value: Mapping[str, Any], ttl: float | None
    ) -> None:
        """`ttl`: minutes."""
        checked, lifetime = check_name(namespace, key), check_ttl(ttl)
        async with self._items.session(principal) as session:
            await session.put(checked, key, value, lifetime)

    async def delete(self, principal: Principal, namespace: Sequence[str], key: str) -> None:
        """An item that is not there is deleted already."""
        checked = check_name(namespace, key)
        async with self._items.session(principal) as session:
            await session.delete(checked, key)

    async def find(self, principal: Principal, namespace: Sequence[str], key: str, *, refresh: bool) -> str:
        """The item, or `null`."""
        checked = check_name(namespace, key)
        async with self._items.session(principal) as session:
            return await session.find(checked, key, refresh=refresh) or "null"

    async def search(
        self, principal: Principal, prefix: Sequence[str], where: Mapping[str, Any] | None, **page: Any
    ) -> str:
        checked = check_namespace(prefix, "namespace_prefix", may_be_empty=True)
        check_filter(where or {})
        async with self._items.session(principal) as session:
            found = await session.search(checked, where, **page)
        return f'{{"items":[{",".join(_with_score(body) for body in found)}]}}'

    async def list_namespaces(
        self, principal: Principal, patterns: Sequence[NamespacePattern], **page: Any
    ) -> list[list[str]]:
        for each in patterns:
            check_namespace(each.path, "suffix" if each.is_suffix else "prefix")
        async with self._items.session(principal) as session:
            return await session.list_namespaces(patterns, **page)


def _with_score(body: str) -> str:
    """The item as a search returns it. Only a search by meaning has scores."""
    return f'{body[:-1]}, "score" : null}}'
