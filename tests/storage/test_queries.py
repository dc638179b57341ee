"""Every named query fits the schema, and the hot ones find their rows by an index, whatever PostgreSQL knows about the tables."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from databases import fresh_database
from stored_runs import Store, open_store

from robyn_server.core.ids import new_id
from robyn_server.storage import assistants, threads
from robyn_server.storage.queries import load, nouns, ordered

ROWS = 12_000
ACTING = ("somebody", "{}", False)
SOME = UUID(int=5)

_FILL = f"""
insert into agenthall.threads (thread_id, owner_id, status, metadata)
select lpad(to_hex(n), 32, '0')::uuid, case when n % 3 = 0 then 'somebody' else 'other' || n % 50 end, 'idle', '{{"of": "a test"}}'
  from generate_series(1, {ROWS}) n;
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status, worker_id, lease_until)
select t.thread_id, t.thread_id, t.thread_id, 1, 'echo', t.owner_id, '{{}}', false, 'success', null, null from agenthall.threads t;
update agenthall.runs set ready = true, status = 'pending' where run_id in (select run_id from agenthall.runs limit 3000);
insert into agenthall.run_events (run_id, seq, attempt, event, data)
select r.run_id, seq, 1, 'values', '{{}}' from agenthall.runs r, generate_series(1, 3) seq;
insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility)
select t.thread_id, 'agent', 'a name', t.owner_id, 'private' from agenthall.threads t;
"""


@pytest.fixture(scope="module", params=["analysed", "never analysed"])
async def large(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[Store]:
    async with fresh_database(postgres, template) as url, open_store(url, size=2) as store:
        for table in ("threads", "runs", "run_events", "assistants"):
            await store.admin.execute(f"alter table agenthall.{table} set (autovacuum_enabled = off)")
        await store.admin.execute(_FILL)
        if request.param == "analysed":
            await store.admin.execute("analyze")
        yield store


def _statements() -> list[tuple[str, str]]:
    found = []
    for noun in nouns():
        for name, query in load(noun).items():
            orders = {"assistants": assistants.SORTABLE, "threads": threads.SORTABLE}.get(noun, ())
            if "{order}" in query:
                found += [(f"{noun}.{name}", ordered(noun, name, f"{noun[0]}.{column} desc")) for column in orders]
            else:
                found.append((f"{noun}.{name}", query))
    return found


async def test_every_query_prepares(store: Store) -> None:
    async with store.system.acquire() as connection:
        for name, query in _statements():
            assert not re.search(r"(?<!')\{\w+\}(?!')", query), f"{name} has a part that is not filled in"
            await connection.prepare(query, name=name.replace(".", "_") + str(hash(query)))


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan] + [node for child in plan.get("Plans", ()) for node in _nodes(child)]


async def _plan(store: Store, pool: str, query: str, *arguments: Any) -> list[dict[str, Any]]:
    async with getattr(store, pool).acquire() as connection, connection.transaction():
        text = await connection.fetchval(f"explain (format json, analyze, costs off, timing off) {query}", *arguments)
    return _nodes(json.loads(text)[0]["Plan"])


def _whole_tables(nodes: list[dict[str, Any]]) -> list[str]:
    return [
        node["Relation Name"]
        for node in nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] != "agent_sync"
    ]


HOT = [
    ("app", load("assistants")["get"], (*ACTING, SOME, timedelta(1))),
    ("app", load("assistants")["resolve"], (*ACTING, SOME, timedelta(1))),
    ("app", load("threads")["get"], (*ACTING, SOME)),
    ("app", load("threads")["graph_of"], (*ACTING, SOME)),
    ("app", load("runs")["get"], (*ACTING, SOME, SOME)),
    ("app", load("runs")["find"], (*ACTING, SOME, SOME)),
    ("app", load("runs")["list"], (*ACTING, SOME, None, 10, 0, None)),
    ("system", load("runs")["read_events"], ([SOME, UUID(int=6)], [0, 2], 100)),
    ("system", load("runs")["place_now"], (SOME,)),
]


@pytest.mark.parametrize(("pool", "query", "arguments"), HOT)
async def test_what_is_got_by_its_id_is_found_by_an_index(large: Store, pool: str, query: str, arguments: Any) -> None:
    nodes = await _plan(large, pool, query, *arguments)
    assert _whole_tables(nodes) == []
    assert max(node.get("Rows Removed by Filter", 0) for node in nodes) < 10


@pytest.mark.parametrize(
    ("noun", "order", "arguments"),
    [
        ("threads", "t.updated_at desc, t.thread_id desc", (*ACTING, None, None, None, None, 11, 0, None)),
        ("assistants", "a.created_at desc, a.assistant_id desc", (*ACTING, None, None, None, 11, 0, None)),
    ],
)
async def test_the_first_page_of_a_search_does_not_read_everything(
    large: Store, noun: str, order: str, arguments: Any
) -> None:
    await large.admin.execute("analyze")
    nodes = await _plan(large, "app", ordered(noun, "search", order), *arguments)
    assert _whole_tables(nodes) == []


_INSIDE = {
    "claim": ("select * from agenthall.claim_runs($1, 16, interval '1 minute', array['echo'])", (new_id(),)),
    "renew": ("select * from agenthall.renew_leases($1, $2, interval '1 minute')", (new_id(), [SOME, UUID(int=6)])),
    "flush": (
        "select * from agenthall.flush_runs($1, $2, array[1, 1], array[1, 1], array['a', 'b'], array['1', '2'], '[]')",
        (new_id(), [SOME, UUID(int=6)]),
    ),
    "rescue": ("select * from agenthall.rescue_runs(100)", ()),
    "release": ("select * from agenthall.release_runs($1, true)", (new_id(),)),
}


@pytest.mark.parametrize("name", _INSIDE)
async def test_the_queue_s_functions_read_no_whole_table(large: Store, name: str) -> None:
    """Sequential scans are counted, since a function's plans are not explained."""
    query, arguments = _INSIDE[name]
    tables = ("runs", "run_events", "threads")
    counter = "select " + " + ".join(f"pg_stat_get_xact_numscans('agenthall.{table}'::regclass)" for table in tables)
    async with large.system.acquire() as connection, connection.transaction():
        before = await connection.fetchval(counter)
        await connection.fetch(query, *arguments)
        assert await connection.fetchval(counter) == before
