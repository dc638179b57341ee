"""Every named query fits the schema, and the hot ones find their rows by an index, whatever PostgreSQL knows about the
tables."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import combinations, product
from typing import Any
from uuid import UUID

import pytest
from databases import fresh_database
from read_costs import fill
from run_storage import RunStorage, open_run_storage

from robyn_server.core.ids import new_id
from robyn_server.core.registry.jobs import JobState
from robyn_server.storage import api_keys, assistants, audit_log, erasures, threads
from robyn_server.storage.agent_sync import view
from robyn_server.storage.postgres.queries import Bound, Query, load, load_templates, nouns
from robyn_server.storage.postgres.search import Kind
from robyn_server.storage.registry.jobs import lists as job_lists
from robyn_server.storage.runs import runs
from robyn_server.storage.runs import search as run_search

ROWS = 12_000
ACTING = {"identity": "somebody", "organizations": "{}", "is_admin": False, "grants": None}
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
async def large(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[RunStorage]:
    async with fresh_database(postgres, template) as url, open_run_storage(url, size=2) as storage:
        for table in ("threads", "runs", "run_events", "assistants"):
            await storage.admin.execute(f"alter table agenthall.{table} set (autovacuum_enabled = off)")
        await fill(storage.admin, _FILL)
        if request.param == "analysed":
            await storage.admin.execute("analyze")
        yield storage


def _filter_sets(filters: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for count in range(len(filters) + 1):
        yield from combinations(filters, count)


def _searches() -> Iterator[Query]:
    """Each combination of filters, order, reader and depth that a search can have."""
    for column, direction in product(threads.SORTABLE, ("ascending", "descending")):
        order = (f"by_{column}", direction)
        yield threads._search_by_filters(*order)
        for readable, filters in product(("everybody", "owner"), _filter_sets(threads.FILTERS)):
            yield threads._search_by_ids(readable, filters, *order)
            yield threads._search_in_order(readable, filters, *order, "to_1000")
    for column, direction in product(assistants.SORTABLE, ("ascending", "descending")):
        order = (f"by_{column}", direction)
        yield assistants._search_by_filters(*order)
        for by_audience, filters in product((False, True), _filter_sets(assistants.FILTERS)):
            yield assistants._search_in_order(by_audience, filters, *order, "to_the_end")
    for has_status, depth in product((False, True), ("to_1000", "to_5000", "to_20000", "to_the_end")):
        yield runs._list(has_status, depth)
    for kind, filters in product(Kind, ((), ("organization_id",))):
        yield api_keys._search(kind, filters, "to_1000")
    yield from (api_keys._count(filters) for filters in ((), ("organization_id",)))
    for names in _filter_sets(("agent_id", "state", "thread_id", "run_id")):
        states = (JobState.QUEUED, JobState.FAILED, JobState.SUCCEEDED) if "state" in names else (None,)
        yield from (job_lists._search(names, state) for state in states)
    for names in _filter_sets(tuple(audit_log.AuditFilter.__dataclass_fields__)):
        yield audit_log._search(frozenset(names))
        yield audit_log._search(frozenset((*names, "at", "audit_id")))
    for given in _filter_sets(tuple(run_search.RunFilter.__dataclass_fields__)):
        readers = (False,) if "thread_id" in given else (False, True)  # a thread has one statement for all
        yield from (run_search._search(frozenset(given), is_admin) for is_admin in readers)
    yield from _erasures()
    yield from (view._failures(filters, "to_1000") for filters in ((), ("after",)))


def _erasures() -> Iterator[Query]:
    for kind, steps in erasures.STEPS.items():
        yield load_templates("erasures")["list_threads"].compose(whose=kind.value)
        rows = next(step.rows for step in steps if step.table == "agenthall.mcp_connections")
        yield load_templates("erasures")["list_connections"].compose(rows=rows)
        yield from (erasures._batch(step, None) for step in steps)
        for table in {step.table for step in (*erasures.THREAD_STEPS, *steps)}:
            same = tuple(step for step in (*erasures.THREAD_STEPS, *steps) if step.table == table)
            yield erasures._count_rows(same, kind)
    yield from (erasures._batch(step, "chunk") for step in erasures.THREAD_STEPS)


def _queries() -> list[Query]:
    return [query for noun in nouns() for query in load(noun).values()] + list(_searches())


def test_every_template_is_composed() -> None:
    composed = {query.name for query in _searches()}
    assert composed == {template.name for noun in nouns() for template in load_templates(noun).values()}


async def test_every_query_prepares(storage: RunStorage) -> None:
    async with storage.system.acquire() as connection:
        for query in _queries():
            assert not re.search(r"(?<!')\{\w+\}(?!')", query.sql), f"{query.name} has a part that is not filled in"
            statement = await connection.prepare(query.sql, name=re.sub(r"\W", "_", query.name) + str(hash(query.sql)))
            assert len(statement.get_parameters()) == len(query.parameters), query.name


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan] + [node for child in plan.get("Plans", ()) for node in _nodes(child)]


async def _plan(storage: RunStorage, pool: str, bound: Bound) -> list[dict[str, Any]]:
    query, *arguments = bound
    async with getattr(storage, pool).acquire() as connection, connection.transaction():
        text = await connection.fetchval(f"explain (format json, analyze, costs off, timing off) {query}", *arguments)
    return _nodes(json.loads(text)[0]["Plan"])


def _whole_tables(nodes: list[dict[str, Any]]) -> list[str]:
    return [
        node["Relation Name"]
        for node in nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] != "agent_sync"
    ]


HOT = [
    ("app", load("assistants")["find"].bind(**ACTING, assistant_id=SOME, ttl=timedelta(1))),
    ("app", load("assistants")["resolve"].bind(**ACTING, assistant_id=SOME, ttl=timedelta(1))),
    ("app", load("threads")["find"].bind(**ACTING, thread_id=SOME)),
    ("app", load("threads")["find_graph"].bind(**ACTING, thread_id=SOME)),
    ("app", load("runs/runs")["find"].bind(**ACTING, thread_id=SOME, run_id=SOME)),
    ("app", load("runs/runs")["find_to_follow"].bind(**ACTING, thread_id=SOME, run_id=SOME)),
    (
        "app",
        runs._list(False, "to_1000").bind(**ACTING, thread_id=SOME, limit=10, offset=0, fields=None),
    ),
    ("system", load("runs/queue")["list_held"].bind(worker_id=SOME)),
    (
        "system",
        load("runs/queue")["read_events"].bind(run_ids=[SOME, UUID(int=6)], after=[0, 2], limit=100, max_bytes=1000),
    ),
    ("system", load("runs/queue")["last_seq_before_end"].bind(run_id=SOME)),
    (
        "system",
        load("runs/queue")["list_following"].bind(thread_ids=[SOME, UUID(int=6)], after=[SOME, SOME], limit=100),
    ),
    ("system", load("runs/queue")["thread_position"].bind(thread_id=SOME)),
]


@pytest.mark.parametrize(("pool", "bound"), HOT)
async def test_what_is_got_by_its_id_is_found_by_an_index(large: RunStorage, pool: str, bound: Bound) -> None:
    nodes = await _plan(large, pool, bound)
    assert _whole_tables(nodes) == []
    assert max(node.get("Rows Removed by Filter", 0) for node in nodes) < 10


@pytest.mark.parametrize(
    "query",
    [
        threads._search_in_order("owner", (), "by_updated_at", "descending", "to_1000"),
        threads._search_in_order("owner", ("metadata", "status"), "by_created_at", "ascending", "to_20000"),
        assistants._search_in_order(True, ("graph_ids",), "by_created_at", "descending", "to_1000"),
        assistants._search_in_order(True, ("graph_ids", "name"), "by_name", "ascending", "to_20000"),
    ],
    ids=lambda query: query.name,
)
async def test_the_first_page_of_a_search_does_not_read_everything(large: RunStorage, query: Query) -> None:
    given = ACTING | {
        "metadata": '{"of": "a test"}',
        "status": "idle",
        "graph_ids": ["agent"],
        "name": "name",
        "audiences": ["everyone", "private:somebody"],
        "fields": None,
        "extract": None,
        "offset": 0,
        "last": 10,
        "most": 250,
    }
    bound = query.bind(**{name: given[name] for name in query.parameters})
    assert _whole_tables(await _plan(large, "app", bound)) == []


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
async def test_the_queue_s_functions_read_no_whole_table(large: RunStorage, name: str) -> None:
    """Sequential scans are counted, since a function's plans are not explained."""
    query, arguments = _INSIDE[name]
    tables = ("runs", "run_events", "threads")
    counter = "select " + " + ".join(f"pg_stat_get_xact_numscans('agenthall.{table}'::regclass)" for table in tables)
    async with large.system.acquire() as connection, connection.transaction():
        before = await connection.fetchval(counter)
        await connection.fetch(query, *arguments)
        assert await connection.fetchval(counter) == before
