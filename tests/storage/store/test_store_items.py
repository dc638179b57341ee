"""Items of the store: the same answers as LangGraph's own store, lifetimes, and costs that do not grow with the
table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from databases import fresh_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, InvalidNamespaceError, MatchCondition, PutOp
from langgraph.store.memory import InMemoryStore
from read_costs import FEW, MANY, CountingPool
from run_storage import RunStorage

from robyn_server.core.access.principal import Principal
from robyn_server.core.store.items import NamespacePattern
from robyn_server.storage.postgres.pools import Role, open_pool
from robyn_server.storage.store.items import StoreItems, StoreSession
from robyn_server.worker.hosts.stores import RunStores

ANNA, BERT = Principal("anna"), Principal("bert")


@pytest.fixture
async def items(storage: RunStorage) -> StoreItems:
    return StoreItems(storage.app)


async def test_each_owner_has_a_space_of_its_own(items: StoreItems) -> None:
    async with items.session(ANNA) as session:
        await session.put(("notes",), "one", {"of": "anna"}, None)
    async with items.session(BERT) as session:
        assert await session.find(("notes",), "one", refresh=True) is None
        assert await session.search((), None, limit=10, offset=0, refresh=True) == []
        assert await session.list_namespaces([], depth=None, limit=10, offset=0) == []
        await session.put(("notes",), "one", {"of": "bert"}, None)
        await session.delete(("notes",), "one")
    async with items.session(ANNA) as session:
        assert await session.find(("notes",), "one", refresh=True) is not None


async def test_row_security_keeps_owners_apart_whatever_a_statement_says(
    storage: RunStorage, items: StoreItems
) -> None:
    async with items.session(ANNA) as session:
        await session.put(("notes",), "one", {}, None)
    async with items.session(BERT) as session:
        connection = session._connection
        assert await connection.fetchval("select count(*) from agenthall.store_items") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await StoreSession(connection, "anna").put(("notes",), "two", {}, None)


# lifetimes


async def _age(storage: RunStorage, interval: str) -> None:
    """Let time pass for all items."""
    await storage.admin.execute(f"update agenthall.store_items set expires_at = expires_at - interval '{interval}'")


async def test_an_item_lives_for_its_ttl_and_a_read_that_refreshes_begins_it_anew(
    storage: RunStorage, items: StoreItems
) -> None:
    minute = timedelta(minutes=1)
    async with items.session(ANNA) as session:
        for key in ("read", "searched", "looked at", "forgotten"):
            await session.put(("short",), key, {"key": key}, minute)
        await session.put(("long",), "kept", {}, None)
    await _age(storage, "40 s")
    async with items.session(ANNA) as session:
        await session.find(("short",), "read", refresh=True)
        await session.search(("short",), {"key": "searched"}, limit=10, offset=0, refresh=True)
        await session.find(("short",), "looked at", refresh=False)
    await _age(storage, "40 s")
    async with items.session(ANNA) as session:
        found = await session.search(("short",), None, limit=10, offset=0, refresh=False)
        assert sorted(json.loads(body)["key"] for body in found) == ["read", "searched"]
        assert await session.find(("long",), "kept", refresh=True) is not None
    assert await StoreItems(storage.admin).sweep() == 2
    assert await storage.admin.fetchval("select count(*) from agenthall.store_items") == 3


async def test_an_expired_item_is_gone_before_it_is_swept_and_is_made_anew(
    storage: RunStorage, items: StoreItems
) -> None:
    async with items.session(ANNA) as session:
        await session.put(("a", "b"), "k", {"old": True}, timedelta(minutes=1))
    before = await storage.admin.fetchval("select created_at from agenthall.store_items")
    await _age(storage, "2 min")
    async with items.session(ANNA) as session:
        assert await session.find(("a", "b"), "k", refresh=True) is None
        assert await session.list_namespaces([], depth=None, limit=10, offset=0) == []
        await session.put(("a", "b"), "k", {"new": True}, None)
        assert await session.list_namespaces([], depth=None, limit=10, offset=0) == [["a", "b"]]
    assert await storage.admin.fetchval("select created_at from agenthall.store_items") > before


async def test_a_second_write_keeps_the_time_of_creation(storage: RunStorage, items: StoreItems) -> None:
    for number in range(2):
        async with items.session(ANNA) as session:
            await session.put(("a",), "k", {"n": number}, None)
    row = await storage.admin.fetchrow("select created_at, updated_at from agenthall.store_items")
    assert row["created_at"] < row["updated_at"]


# beside LangGraph's own

LABELS = st.sampled_from(["a", "b", "ab", "ä", "Z", "0", "long label"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
# Without 0 and 1: in Python they equal False and True, which a store in memory compares. In JSON they do not.
SCALARS = st.none() | st.booleans() | st.sampled_from([-3, -2, -1, 2, 3]) | st.sampled_from(["x", "y", ""])
VALUES = st.fixed_dictionaries(
    {"n": st.integers(0, 5), "at": st.sampled_from(["2026-01-01", "2026-05-01", "2027"])},
    optional={"of": SCALARS, "deep": st.fixed_dictionaries({"er": SCALARS}), "list": st.lists(SCALARS, max_size=2)},
)
OPERATORS = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(0, 5) | st.dictionaries(OPERATORS, st.integers(0, 5), min_size=1, max_size=2),
        "of": SCALARS | st.dictionaries(st.sampled_from(["$eq", "$ne"]), SCALARS, min_size=1, max_size=1),
        "deep": st.fixed_dictionaries({"er": SCALARS}),
        "list": st.lists(SCALARS, max_size=2),
        "absent": st.none() | st.just("x"),
    },
)
PATTERNS = st.lists(LABELS | st.just("*"), min_size=1, max_size=3).map(tuple)
PUTS = st.lists(st.tuples(NAMESPACES, st.sampled_from(["k", "l"]), VALUES | st.none()), max_size=12)


@pytest.fixture(scope="module")
async def shared_items(postgres: str, template: str) -> AsyncIterator[StoreItems]:
    async with fresh_database(postgres, template) as url:
        pool = await open_pool(url, Role.SYSTEM, size=2, name="test of the store")
        yield StoreItems(pool)
        await pool.close()


def _names(found: Any) -> list[Any]:
    return sorted((item.namespace, item.key, json.dumps(item.value, sort_keys=True)) for item in found)


async def _compare(items: StoreItems, owner: str, puts: Any, prefix: Any, where: Any, listing: Any) -> None:
    theirs, ours = InMemoryStore(), RunStores(items, 10**6).open(owner)
    try:
        alive = dict[Any, set[str]]()
        for namespace, key, value in puts:
            keys = alive.setdefault(namespace, set())
            if value is None and not keys - {key}:
                continue  # there, a namespace that lost its last item, or never had one, is still listed
            (keys.discard if value is None else keys.add)(key)
            for store in (theirs, ours):
                await (store.adelete(namespace, key) if value is None else store.aput(namespace, key, value))
        found = [await store.asearch(prefix, filter=where, limit=100) for store in (theirs, ours)]
        assert _names(found[0]) == _names(found[1])
        conditions, depth = listing
        listed = [await store.alist_namespaces(**conditions, max_depth=depth, limit=100) for store in (theirs, ours)]
        assert sorted(listed[0]) == sorted(listed[1])
        for namespace, key, _ in puts:
            one, other = await theirs.aget(namespace, key), await ours.aget(namespace, key)
            assert (one and one.value) == (other and other.value)
    finally:
        ours.close()


LISTINGS = st.tuples(
    st.fixed_dictionaries({}, optional={"prefix": PATTERNS, "suffix": PATTERNS}), st.none() | st.integers(1, 3)
)
_numbers = iter(range(10**9))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(puts=PUTS, prefix=st.lists(LABELS, max_size=2).map(tuple), where=FILTERS, listing=LISTINGS)
async def test_it_answers_as_langgraphs_store_in_memory(
    shared_items: StoreItems, puts: Any, prefix: Any, where: Any, listing: Any
) -> None:
    await _compare(shared_items, f"owner {next(_numbers)}", puts, prefix, where, listing)


async def test_a_number_is_no_boolean(shared_items: StoreItems) -> None:
    store = RunStores(shared_items, 10**6).open("booleans")
    await store.aput(("t",), "k", {"of": 1, "deep": {"er": 0}})
    assert await store.asearch(("t",), filter={"of": True}) == []
    assert await store.asearch(("t",), filter={"deep": {"er": False}}) == []
    assert len(await store.asearch(("t",), filter={"of": 1, "deep": {"er": 0}})) == 1
    store.close()


async def test_texts_are_compared_in_order_and_other_types_never(shared_items: StoreItems) -> None:
    store = RunStores(shared_items, 10**6).open("texts")
    for number, at in enumerate(["2026-01-01", "2026-05-01", 7, None, ["2026-09-01"]]):
        await store.aput(("t",), str(number), {"at": at})
    found = await store.asearch(("t",), filter={"at": {"$gte": "2026-02-01", "$lt": "2027"}})
    assert [item.key for item in found] == ["1"]
    store.close()


async def test_a_namespace_lists_the_latest_first(shared_items: StoreItems) -> None:
    store = RunStores(shared_items, 10**6).open("order")
    for key in ("b", "c", "a", "b"):
        await store.aput(("t",), key, {})
    assert [item.key for item in await store.asearch(("t",))] == ["b", "a", "c"]
    store.close()


@pytest.mark.parametrize(
    ("call", "error", "reason"),
    [
        (lambda store: store.aput((), "k", {}), InvalidNamespaceError, "empty"),
        (lambda store: store.aput(("a.b",), "k", {}), InvalidNamespaceError, "periods"),
        (lambda store: store.aput(("langgraph",), "k", {}), InvalidNamespaceError, "Root label"),
        (lambda store: store.aput(("a",), "", {}), ValueError, "key: must be"),
        (lambda store: store.aput(("a",), "k" * 2000, {}), ValueError, "at most 1024 bytes"),
        (lambda store: store.aput(("a",), "k", {"x": "y" * 2_000_000}), ValueError, "AGENTHALL_MAX_STATE_BYTES"),
        (lambda store: store.aput(("a",), "k", {"x": "\0"}), ValueError, "NUL"),
        (lambda store: store.aput(("a",), "k", {"x": object()}), TypeError, "not JSON serializable"),
        (lambda store: store.aput(("a",), "k", {}, ttl=-1), ValueError, "ttl: more than 0"),
        (lambda store: store.asearch(("a",), query="cats"), NotImplementedError, "no index by meaning"),
        (lambda store: store.asearch(("a",), filter={"x": {"$in": []}}), ValueError, "'\\$in' is no operator"),
        (lambda store: store.asearch(("a",), filter={"x": {"$gt": 1, "y": 2}}), ValueError, "do not go together"),
    ],
)
async def test_what_cannot_be_stored_or_asked_is_an_error_that_says_so(
    shared_items: StoreItems, call: Any, error: type[Exception], reason: str
) -> None:
    store = RunStores(shared_items, 10**6).open("errors")
    with pytest.raises(error, match=reason):
        await call(store)
    assert await store.asearch(()) == []
    store.close()


async def test_a_node_that_is_no_coroutine_uses_it_from_its_thread(shared_items: StoreItems) -> None:
    store = RunStores(shared_items, 10**6).open("thread")

    def node() -> Any:
        store.put(("a",), "k", {"n": 1})
        return store.get(("a",), "k")

    assert (await asyncio.to_thread(node)).value == {"n": 1}
    operations = [PutOp(("a",), "k", {"n": 2}), GetOp(("a",), "k")]
    assert (await asyncio.to_thread(store.batch, operations))[1].value == {"n": 2}
    store.close()


# costs

_FILL = """
insert into agenthall.store_items (owner_id, namespace, key, value)
select 'anna', array['memories', 'user ' || n / 100], 'key ' || n, jsonb_build_object('n', n) from generate_series(1, ROWS) n;
insert into agenthall.store_items (owner_id, namespace, key, value)
select 'anna', array['settings'], 'key ' || n, jsonb_build_object('n', n) from generate_series(1, 20) n;
insert into agenthall.store_items (owner_id, namespace, key, value, ttl, expires_at)
select 'other ' || n, array['notes'], 'key', '{}', '1 min', now() + interval '1 h' from generate_series(1, ROWS / 10) n;
set session_replication_role = replica;
insert into agenthall.store_vectors (owner_id, path, key, field, vector)
select i.owner_id, i.path, i.key, '$', array[random(), random(), random()] from agenthall.store_items i where i.owner_id = 'anna';
reset session_replication_role;
analyze agenthall.store_items;
"""
READS: dict[str, Any] = {
    "an item": lambda session: session.find(("memories", "user 7"), "key 707", refresh=False),
    "a user's items": lambda session: session.search(("memories", "user 7"), None, limit=10, offset=0, refresh=False),
    "a page of a large namespace": lambda session: session.search(
        ("memories",), None, limit=10, offset=0, refresh=False
    ),
    "a page of everything": lambda session: session.search((), None, limit=10, offset=0, refresh=False),
    "a filter within a user's": lambda session: session.search(
        ("memories", "user 7"), {"n": {"$gt": -1}}, limit=10, offset=0, refresh=False
    ),
    "the nearest of a user's": lambda session: session.search(
        ("memories", "user 7"), None, limit=10, offset=0, refresh=False, near=[1.0, 0.5, 0.2]
    ),
    "a second write": lambda session: session.put(("settings",), "key 7", {}, None, {"$": [1.0, 2.0, 3.0]}),
    "the roots": lambda session: session.list_namespaces([], depth=1, limit=10, offset=0),
    "namespaces below one": lambda session: session.list_namespaces(
        [NamespacePattern(("settings",))], depth=None, limit=10, offset=0
    ),
    "a page of namespaces": lambda session: session.list_namespaces([], depth=None, limit=10, offset=0),
}


async def _costs(postgres: str, template: str, rows: int) -> dict[str, int]:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(_FILL.replace("ROWS", str(rows)))
            await connection.execute("vacuum analyze agenthall.store_items, agenthall.store_vectors")
            await connection.execute(
                "set plan_cache_mode = force_generic_plan; set jit = off; set random_page_cost = 1.1"
            )
            await connection.execute("set role agenthall_app; select agenthall.act_as('anna', '{}', false)")
            await connection.execute("select set_config('agenthall.identity', 'anna', false)")
            costs = {}
            for name, read in READS.items():
                counting = CountingPool(connection)
                await read(StoreSession(counting, "anna"))  # type: ignore[arg-type]
                costs[name] = counting.buffers
            return costs
        finally:
            await connection.close()


async def test_no_read_costs_more_in_a_large_table(postgres: str, template: str) -> None:
    few, many = await _costs(postgres, template, FEW), await _costs(postgres, template, MANY)
    assert {name: (few[name], cost) for name, cost in many.items() if cost > 2 * few[name] + 60} == {}


def test_conditions_of_langgraph_become_patterns() -> None:
    from robyn_server.worker.hosts.stores import _pattern

    assert _pattern(MatchCondition("suffix", ("a", "*"))) == NamespacePattern(("a", "*"), is_suffix=True)
