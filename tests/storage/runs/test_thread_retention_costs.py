"""A look for threads that are due, idle or changed reads those that it returns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool, fill, touched

from robyn_server.storage.thread_retention import FIRST, ThreadRetention

_FILL = """
insert into agenthall.threads (thread_id, owner_id, status, ttl, ttl_strategy)
select lpad(to_hex(n), 32, '0')::uuid, 'somebody', case n % 3 when 0 then 'busy' else 'idle' end,
       case when n % 2 = 0 then interval '1 day' end, case when n % 2 = 0 then 'delete' end
  from generate_series(1, {rows}) n;
update agenthall.threads set expires_at = now() - interval '1 min' where ttl is not null and status = 'busy';
update agenthall.threads set expires_at = now() - interval '1 min' where thread_id in (
  select thread_id from agenthall.threads where ttl is not null and status = 'idle' limit 200);
analyze agenthall.threads;
"""


@pytest.fixture(scope="module")
async def filled(postgres: str, template: str) -> AsyncIterator[list[asyncpg.Connection[Any]]]:
    """Databases with a thousand threads and with many. 200 are due, and all busy ones would be."""
    async with fresh_database(postgres, template) as few, fresh_database(postgres, template) as many:
        connections = []
        for url, rows in ((few, FEW), (many, MANY)):
            connections.append(await asyncpg.connect(url))
            await fill(connections[-1], _FILL.format(rows=rows))
            await connections[-1].execute("set plan_cache_mode = force_generic_plan; set random_page_cost = 1.1")
        yield connections
        for connection in connections:
            await connection.close()


async def test_a_look_for_due_threads_reads_those_that_are_due(filled: list[Any]) -> None:
    costs = []
    for connection in filled:
        pool = CountingPool(connection)
        due = await ThreadRetention(pool).list_expired(FIRST, 100)  # type: ignore[arg-type]
        assert len(due) == 100
        rest = await ThreadRetention(pool).list_expired(due[-1], 1000)  # type: ignore[arg-type]
        assert len(rest) == 100
        costs.append(pool.buffers)
    few, many = costs
    assert many < few + 200, f"{costs}: each of the 200 rows may lie on a page of its own"


async def test_a_look_for_idle_threads_and_for_changed_ones_reads_what_it_returns(filled: list[Any]) -> None:
    costs = []
    for connection in filled:
        await connection.execute(
            "update agenthall.threads set updated_at = now() - interval '1 day' where thread_id in"
            " (select thread_id from agenthall.threads where status = 'idle' order by thread_id limit 50)"
        )
        pool = CountingPool(connection)
        assert len(await ThreadRetention(pool).list_idle(timedelta(hours=2), FIRST, 100)) == 50  # type: ignore[arg-type]
        looked = await connection.fetchval("select looked from agenthall.prune_changed_threads(2, '-1 day', 200)")
        assert looked == 200
        costs.append(
            pool.buffers + await touched(connection, "select agenthall.prune_changed_threads(2, '-1 day', 200)")
        )
    few, many = costs
    assert many < 2 * few + 500, costs
