"""The store's index by meaning: the same answers as LangGraph's own store, with pgvector and without."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from databases import fresh_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from robyn_server.core.errors import Unavailable
from robyn_server.core.store.options import StoreIndex, StoreLifetimes
from robyn_server.graphs.embeddings import ItemEmbedder
from robyn_server.storage.postgres.pools import Role, open_pool
from robyn_server.storage.store.items import StoreItems
from robyn_server.storage.store.vectors import use_pgvector
from robyn_server.worker.hosts.stores import RunStore, RunStores

LETTERS = "abc"
FIELDS = ("text", "notes[*].text")


def embed(texts: list[str]) -> list[list[float]]:
    """Texts with the same letters are near. No vector is zero."""
    return [[0.1 + text.count(letter) for letter in LETTERS] for text in texts]


def failing(texts: list[str]) -> list[list[float]]:
    raise ConnectionError(f"no model for {len(texts)} texts")


def embedder(function: Any = "embed", dims: int = len(LETTERS), fields: tuple[str, ...] = FIELDS) -> ItemEmbedder:
    return ItemEmbedder(StoreIndex(embed=f"{__file__}:{function}", dims=dims, fields=fields))


@pytest.fixture(scope="module", params=["pgvector", "sql"])
async def items(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[StoreItems]:
    async with fresh_database(postgres, template) as url:
        if request.param == "pgvector":
            await use_pgvector(url)
            if not await _has_extension(url):
                pytest.skip("this PostgreSQL has no pgvector")
        pool = await open_pool(url, Role.SYSTEM, size=2, name="test of the store")
        yield StoreItems(pool)
        await pool.close()


async def _has_extension(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval("select exists (select from pg_extension where extname = 'vector')"))
    finally:
        await connection.close()


@pytest.fixture
async def store(items: StoreItems) -> AsyncIterator[RunStore]:
    opened = RunStores(items, 10**6, embedder()).open(f"owner {next(_numbers)}")
    yield opened
    opened.close()


_numbers = iter(range(10**9))

TEXTS = st.text(LETTERS, min_size=1, max_size=4)
NOTES = st.lists(TEXTS, max_size=2).map(
    # the store in memory mixes up equal texts of one item
    lambda texts: [{"text": f"{number}. {text}"} for number, text in enumerate(texts)]
)
VALUES = st.fixed_dictionaries({"n": st.integers(0, 3)}, optional={"text": TEXTS, "notes": NOTES})
INDEXES = st.none() | st.just(False) | st.just(["text"])
PUTS = st.lists(
    st.tuples(st.sampled_from([("a",), ("a", "b"), ("c",)]), st.sampled_from("klm"), VALUES | st.none(), INDEXES),
    max_size=10,
)


def _scores(found: Any) -> list[Any]:
    return sorted(
        (
            each.namespace,
            each.key,
            None if each.score is None else round(each.score, 5),
            json.dumps(each.value, sort_keys=True),
        )
        for each in found
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    puts=PUTS, query=TEXTS, prefix=st.sampled_from([(), ("a",), ("c",)]), where=st.none() | st.just({"n": {"$gt": 1}})
)
async def test_it_scores_as_langgraphs_store_in_memory(
    items: StoreItems, puts: Any, query: str, prefix: Any, where: Any
) -> None:
    theirs = InMemoryStore(index={"dims": len(LETTERS), "embed": embed, "fields": list(FIELDS)})
    ours = RunStores(items, 10**6, embedder()).open(f"owner {next(_numbers)}")
    try:
        for namespace, key, value, index in puts:
            # there, the vectors of the texts that a second put does not have stay
            await theirs.adelete(namespace, key)
            theirs._vectors[namespace].pop(key, None)
            for each in (theirs, ours):
                await (each.adelete(namespace, key) if value is None else each.aput(namespace, key, value, index))
        found = [await each.asearch(prefix, query=query, filter=where, limit=100) for each in (theirs, ours)]
        assert _scores(found[0]) == _scores(found[1])
        ranks = [each.score for each in found[1] if each.score is not None]
        assert ranks == sorted(ranks, reverse=True)
        assert [each.score for each in found[1]][: len(ranks)] == ranks, "those without a score come last"
        page = await ours.asearch(prefix, query=query, filter=where, limit=2, offset=1)
        assert [each.key for each in page] == [each.key for each in found[1][1:3]]
    finally:
        ours.close()


async def test_a_second_put_replaces_the_vectors_and_a_deletion_takes_them(store: RunStore, items: StoreItems) -> None:
    async def kept() -> int:
        query = "select count(*) from agenthall.store_vectors where owner_id = $1"
        return int(await items._pool.fetchval(query, store._principal.identity))

    await store.aput(("t",), "k", {"text": "a", "notes": [{"text": "b"}, {"text": "c"}]})
    assert await kept() == 3
    await store.aput(("t",), "k", {"text": "b"})
    assert await kept() == 1
    assert [round(each.score or 0, 6) for each in await store.asearch(("t",), query="b")] == [1.0]
    await store.aput(("t",), "k", {"text": "b"}, index=False)
    assert [each.score for each in await store.asearch(("t",), query="b")] == [None]
    await store.aput(("t",), "k", {"text": "b"})
    await store.adelete(("t",), "k")
    assert await kept() == 0


async def test_a_vector_of_zeros_and_of_other_dimensions_has_no_score(store: RunStore, items: StoreItems) -> None:
    for key, vector in (("zeros", [0.0, 0.0, 0.0]), ("short", [1.0]), ("near", [1.0, 0.0, 0.0])):
        async with items.session(store._principal) as session:
            await session.put(("t",), key, {}, None, {"$": vector})
    async with items.session(store._principal) as session:
        found = await session.search((), None, limit=9, offset=0, refresh=False, near=[1.0, 0.0, 0.0])
    scores = {each["key"]: each["score"] for each in map(json.loads, found)}
    assert scores == {"near": 1.0, "short": None, "zeros": None}


async def test_a_model_that_fails_leaves_the_item_as_it_was(items: StoreItems, store: RunStore) -> None:
    await store.aput(("t",), "k", {"text": "a"})
    owner = store._principal.identity
    for model, reason in (
        (embedder("failing"), "failing failed: ConnectionError: no model for 1 texts"),
        (embedder("absent"), "cannot be loaded: AttributeError"),
        (embedder(dims=4), "vectors of 3 numbers, and `dims` is 4"),
    ):
        broken = RunStores(items, 10**6, model).open(owner)
        with pytest.raises(Unavailable, match=reason):
            await broken.aput(("t",), "k", {"text": "b"})
        with pytest.raises(Unavailable):
            await broken.asearch(("t",), query="b")
        broken.close()
    too_many = {"notes": [{"text": "a"}] * 101}
    with pytest.raises(ValueError, match="101 texts"):
        await store.aput(("t",), "k", too_many)
    assert (await store.aget(("t",), "k")).value == {"text": "a"}  # type: ignore[union-attr]


async def test_lifetimes_of_the_project_apply_where_a_graph_says_nothing(items: StoreItems) -> None:
    lifetimes = StoreLifetimes(default_ttl=5, refresh_on_read=False)
    store = RunStores(items, 10**6, lifetimes=lifetimes).open("lifetimes")
    await store.aput(("t",), "default", {})
    await store.aput(("t",), "own", {}, ttl=1)
    await store.aput(("t",), "none", {}, ttl=None)
    rows = await items._pool.fetch(
        "select key, extract(epoch from ttl) / 60 as minutes from agenthall.store_items where owner_id = 'lifetimes'"
    )
    assert {row["key"]: row["minutes"] for row in rows} == {"default": 5, "own": 1, "none": None}
    await items._pool.execute(
        "update agenthall.store_items set expires_at = now() + interval '1 s' where ttl is not null"
    )
    assert await store.aget(("t",), "default") is not None
    left = "select max(expires_at) < now() + interval '1 min' from agenthall.store_items where owner_id = 'lifetimes'"
    assert await items._pool.fetchval(left), "a read refreshes nothing"
    assert await store.aget(("t",), "default", refresh_ttl=True) is not None
    assert not await items._pool.fetchval(left)
    store.close()
