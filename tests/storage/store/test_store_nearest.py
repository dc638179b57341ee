"""The search by meaning among many items: of their owner, and of others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import asyncpg
import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool, executed_plan

from robyn_server.storage.store.items import StoreSession
from robyn_server.storage.store.nearest import LAST_BY_SIGNS, MANY_TEXTS
from robyn_server.storage.store.vectors import use_pgvector

DIMS = 64
LARGE = MANY_TEXTS + 2_000

# Texts of one topic are near: their vectors are the topic's, and a little of their own.
_FILL = f"""
select setseed(0.5);
create temporary table topics as
  select topic, array(select random() - 0.5 + 0 * topic from generate_series(1, {DIMS}))::real[] as vector
    from generate_series(0, 99) topic;
create temporary table given as
  select n, n % 100 as topic, case when OWNERS = 1 then 'anna' else 'other ' || n % OWNERS end as owner,
         array['notes', 'topic ' || n % 100] as namespace, 'key ' || n as key
    from generate_series(1, ROWS) n;
insert into agenthall.store_items (owner_id, namespace, key, value)
select owner, namespace, key, jsonb_build_object('n', n, 'topic', topic, 'rare', n % 1000 = 0) from given;
set session_replication_role = replica;
insert into agenthall.store_vectors (owner_id, path, key, field, vector)
select g.owner, agenthall.namespace_path(g.namespace), g.key, '$',
       array(select number + 0.2 * (random() - 0.5) + 0 * g.n from unnest(t.vector) number)::real[]
  from given g join topics t using (topic);
reset session_replication_role;
drop table given, topics;
"""
_SESSION = "set plan_cache_mode = force_generic_plan; set jit = off; set random_page_cost = 1.1; set role agenthall_app"


async def _fill(connection: Any, rows: int, owners: int = 1) -> None:
    await connection.execute(_FILL.replace("ROWS", str(rows)).replace("OWNERS", str(owners)))


async def _open(url: str) -> Any:
    connection = await asyncpg.connect(url)
    await connection.execute("vacuum analyze agenthall.store_items, agenthall.store_vectors")
    await connection.execute(f"{_SESSION}; select agenthall.act_as('anna', '{{}}', false)")
    await connection.execute("select set_config('agenthall.identity', 'anna', false)")
    return connection


@pytest.fixture(scope="module", params=["pgvector", "sql"])
async def large(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[Any]:
    """A connection of an owner of so many texts that their signs are compared first."""
    async with fresh_database(postgres, template) as url:
        if request.param == "pgvector":
            await use_pgvector(url)
        filling = await asyncpg.connect(url)
        await _fill(filling, LARGE)
        await filling.close()
        connection = await _open(url)
        yield connection
        await connection.close()


async def _search(connection: Any, near: list[float], **given: Any) -> list[dict[str, Any]]:
    page = {"limit": 10, "offset": 0, "refresh": False, **given}
    found = await StoreSession(connection, "anna").search(("notes",), page.pop("where", None), near=near, **page)
    return [json.loads(each) for each in found]


async def _vector(connection: Any, key: str) -> list[float]:
    query = "select vector from agenthall.store_vectors where owner_id = 'anna' and key = $1"
    return list(await connection.fetchval(query, key))


async def _exact(connection: Any, near: list[float], condition: str = "true", limit: int = 10) -> list[str]:
    query = f"""
        select v.key from agenthall.store_vectors v join agenthall.store_items i using (owner_id, path, key)
         where v.owner_id = 'anna' and {condition} order by agenthall.cosine_distance(v.vector, $1), v.path limit $2
    """
    return [row["key"] for row in await connection.fetch(query, near, limit)]


async def test_the_nearest_of_many_are_found_by_their_signs(large: Any) -> None:
    same = 0
    for number in range(1, 500, 25):
        near = await _vector(large, f"key {number}")
        found = [each["key"] for each in await _search(large, near)]
        assert found[0] == f"key {number}"
        same += len(set(found) & set(await _exact(large, near)))
    assert same >= 20 * 10 * 0.98


async def test_a_filter_of_a_large_namespace_leaves_the_nearest_that_match(large: Any) -> None:
    near = await _vector(large, "key 7")
    found = await _search(large, near, where={"n": {"$gt": 5000}})
    assert [each["key"] for each in found] == await _exact(large, near, "(i.value ->> 'n')::int > 5000")


async def test_where_few_items_match_the_answer_is_exact(large: Any) -> None:
    """Also for a text whose signs are not those of the query, although it is near."""
    near, odd = [10.0] + [0.01] * (DIMS - 1), [10.0] + [-0.01] * (DIMS - 1)
    session = StoreSession(large, "anna")
    await session.put(("notes",), "odd", {"rare": True}, None, {"$": odd})
    found = [each["key"] for each in await _search(large, near, where={"rare": True})]
    assert (found[0], found) == ("odd", await _exact(large, near, "(i.value ->> 'rare')::bool"))
    await session.delete(("notes",), "odd")


async def test_pages_of_a_large_namespace_follow_one_another(large: Any) -> None:
    near = await _vector(large, "key 7")
    pages = [await _search(large, near, limit=20, offset=offset) for offset in range(0, LAST_BY_SIGNS + 40, 20)]
    scores = [each["score"] for page in pages for each in page]
    assert scores == sorted(scores, reverse=True)
    keys = [each["key"] for page in pages for each in page]
    assert len(set(keys)) == len(keys) == LAST_BY_SIGNS + 40


async def test_an_expired_item_of_a_large_namespace_is_not_found(large: Any) -> None:
    near = await _vector(large, "key 8")
    query = (
        "update agenthall.store_items set ttl = '1 min', expires_at = now() where owner_id = 'anna' and key = 'key 8'"
    )
    await large.execute(query)
    assert "key 8" not in [each["key"] for each in await _search(large, near)]


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


class ReadingConnection(CountingPool):
    """Also counts the pairs of rows that joins have compared in vain."""

    compared = 0

    async def _count(self, query: str, arguments: Any) -> None:
        await super()._count(query, arguments)
        nodes = _nodes(await executed_plan(self._connection, query, *arguments))
        self.compared += sum(int(each.get("Rows Removed by Join Filter", 0) * each["Actual Loops"]) for each in nodes)


async def _costs(postgres: str, template: str, foreign: int) -> tuple[int, int]:
    """Buffers that a search touches, and pairs of rows that it compares in vain, among the items of others."""
    async with fresh_database(postgres, template) as url:
        await use_pgvector(url)
        filling = await asyncpg.connect(url)
        await _fill(filling, foreign, owners=foreign // 10)
        await _fill(filling, 1_000)
        await filling.close()
        connection = await _open(url)
        reading = ReadingConnection(connection)
        near = await _vector(connection, "key 7")
        session = StoreSession(reading, "anna")  # type: ignore[arg-type]
        found = await session.search(("notes",), None, limit=10, offset=0, refresh=False, near=near)
        await connection.close()
        assert json.loads(found[0])["key"] == "key 7"
        return reading.buffers, reading.compared


async def test_a_search_reads_the_items_of_its_owner_alone(postgres: str, template: str) -> None:
    few, _ = await _costs(postgres, template, FEW)
    many, compared = await _costs(postgres, template, MANY)
    assert many <= few * 1.2
    assert compared == 0, "no join takes the square of the number of items, however few the planner expects"
