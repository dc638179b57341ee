"""The store inside graphs: the same items as those of the API, and only those of the run's owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
    TTLConfig,
)
from langgraph.store.base.batch import AsyncBatchedBaseStore

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Invalid
from robyn_server.core.json import exact_json
from robyn_server.core.store.items import NamespacePattern, check_filter, check_name, check_namespace
from robyn_server.core.store.options import StoreLifetimes
from robyn_server.core.ttl import check_ttl
from robyn_server.graphs.embeddings import ItemEmbedder, Vectors
from robyn_server.storage.store.items import StoreItems, StoreSession

_NO_INDEX = "This server's store has no index by meaning: search with `filter`, or set AGENTHALL_STORE_INDEX."


@dataclass(frozen=True, slots=True)
class RunStores:
    """Opens the store of a run. `max_bytes`: of a value. `embedder`: None without an index by meaning."""

    items: StoreItems
    max_bytes: int
    embedder: ItemEmbedder | None = None
    lifetimes: StoreLifetimes | None = None

    def open(self, owner_id: str) -> RunStore:
        return RunStore(self, owner_id)


class RunStore(AsyncBatchedBaseStore):
    """Operations that are started together are one transaction. Close it when the run has ended.

    Raises ValueError where the API would answer 422, NotImplementedError for a search by meaning without an index, and
    the errors of ItemEmbedder.
    """

    supports_ttl = True

    def __init__(self, stores: RunStores, owner_id: str) -> None:
        super().__init__()
        lifetimes = stores.lifetimes or StoreLifetimes()
        self.ttl_config = TTLConfig(default_ttl=lifetimes.default_ttl, refresh_on_read=lifetimes.refresh_on_read)
        self._embedder = stores.embedder
        self._items = stores.items
        self._principal = Principal(owner_id)
        self._max_bytes = stores.max_bytes

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        listed = list(ops)
        try:
            # before the transaction, because a model may take seconds
            vectors = [await self._vectors(op) for op in listed]
            async with self._items.session(self._principal) as session:
                return [await self._apply(session, op, found) for op, found in zip(listed, vectors, strict=True)]
        except Invalid as error:
            raise ValueError(error.detail) from None

    async def _vectors(self, op: Op) -> Any:
        """Those of the item that is put; that of the query."""
        if isinstance(op, SearchOp) and op.query:
            if self._embedder is None:
                raise NotImplementedError(_NO_INDEX)
            return await self._embedder.embed_query(op.query)
        if isinstance(op, PutOp) and op.value is not None and self._embedder is not None:
            return await self._embedder.embed_item(op.value, op.index)
        return None

    async def _apply(self, session: StoreSession, op: Op, vectors: Any) -> Result:
        if isinstance(op, GetOp):
            body = await session.find(check_name(op.namespace, op.key), op.key, refresh=op.refresh_ttl)
            return None if body is None else Item(**exact_json.loads(body))
        if isinstance(op, PutOp):
            await self._put(session, op, vectors)
            return None
        if isinstance(op, SearchOp):
            return await _search(session, op, vectors)
        return await _list_namespaces(session, op)

    async def _put(self, session: StoreSession, op: PutOp, vectors: Vectors | None) -> None:
        namespace = check_name(op.namespace, op.key)
        if op.value is None:
            await session.delete(namespace, op.key)
            return
        size = len(exact_json.dumps(op.value))
        if size > self._max_bytes:
            raise ValueError(f"The value has {size} bytes; AGENTHALL_MAX_STATE_BYTES allows {self._max_bytes}.")
        await session.put(namespace, op.key, op.value, check_ttl(op.ttl), vectors)


async def _search(session: StoreSession, op: SearchOp, near: list[float] | None) -> list[SearchItem]:
    prefix = check_namespace(op.namespace_prefix, "namespace_prefix", may_be_empty=True)
    check_filter(op.filter or {})
    found = await session.search(prefix, op.filter, limit=op.limit, offset=op.offset, refresh=op.refresh_ttl, near=near)
    return [SearchItem(**exact_json.loads(body)) for body in found]


async def _list_namespaces(session: StoreSession, op: ListNamespacesOp) -> list[tuple[str, ...]]:
    patterns = [_pattern(each) for each in op.match_conditions or ()]
    found = await session.list_namespaces(patterns, depth=op.max_depth, limit=op.limit, offset=op.offset)
    return [tuple(namespace) for namespace in found]


def _pattern(condition: MatchCondition) -> NamespacePattern:
    path: tuple[Any, ...] = condition.path
    return NamespacePattern(check_namespace(path), is_suffix=condition.match_type == "suffix")
