"""The store inside graphs: the same items as those of the API, and only those of the run's owner."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)
from langgraph.store.base.batch import AsyncBatchedBaseStore

from robyn_server.core import exact_json
from robyn_server.core.errors import Invalid
from robyn_server.core.principal import Principal
from robyn_server.core.store import NamespacePattern, check_filter, check_name, check_namespace, check_ttl
from robyn_server.storage.store_items import StoreItems, StoreSession


class RunStore(AsyncBatchedBaseStore):
    """Operations that are started together are one transaction. Close it when the run has ended.

    Raises ValueError where the API would answer 422, and NotImplementedError for a search by meaning.
    """

    supports_ttl = True

    def __init__(self, items: StoreItems, owner_id: str, max_bytes: int) -> None:
        super().__init__()
        self._items = items
        self._principal = Principal(owner_id)
        self._max_bytes = max_bytes

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        try:
            async with self._items.session(self._principal) as session:
                return [await self._apply(session, op) for op in ops]
        except Invalid as error:
            raise ValueError(error.detail) from None

    async def _apply(self, session: StoreSession, op: Op) -> Result:
        if isinstance(op, GetOp):
            body = await session.find(check_name(op.namespace, op.key), op.key, refresh=op.refresh_ttl)
            return None if body is None else Item(**exact_json.loads(body))
        if isinstance(op, PutOp):
            await self._put(session, op)
            return None
        if isinstance(op, SearchOp):
            return await _search(session, op)
        return await _list_namespaces(session, op)

    async def _put(self, session: StoreSession, op: PutOp) -> None:
        namespace = check_name(op.namespace, op.key)
        if op.value is None:
            await session.delete(namespace, op.key)
            return
        size = len(exact_json.dumps(op.value))
        if size > self._max_bytes:
            raise ValueError(f"The value has {size} bytes; AGENTHALL_MAX_STATE_BYTES allows {self._max_bytes}.")
        await session.put(namespace, op.key, op.value, check_ttl(op.ttl))


async def _search(session: StoreSession, op: SearchOp) -> list[SearchItem]:
    if op.query:
        raise NotImplementedError("This server's store has no index by meaning: search with `filter`, without `query`.")
    prefix = check_namespace(op.namespace_prefix, "namespace_prefix", may_be_empty=True)
    check_filter(op.filter or {})
    found = await session.search(prefix, op.filter, limit=op.limit, offset=op.offset, refresh=op.refresh_ttl)
    return [SearchItem(**exact_json.loads(body)) for body in found]


async def _list_namespaces(session: StoreSession, op: ListNamespacesOp) -> list[tuple[str, ...]]:
    patterns = [_pattern(each) for each in op.match_conditions or ()]
    found = await session.list_namespaces(patterns, depth=op.max_depth, limit=op.limit, offset=op.offset)
    return [tuple(namespace) for namespace in found]


def _pattern(condition: MatchCondition) -> NamespacePattern:
    path: tuple[Any, ...] = condition.path
    return NamespacePattern(check_namespace(path), is_suffix=condition.match_type == "suffix")
