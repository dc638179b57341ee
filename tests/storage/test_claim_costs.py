"""A claim reads as much beside many waiting runs of the other kind as beside a thousand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool
from run_storage import GRAPH, RunStorage, open_run_storage

from robyn_server.core.ids import new_id
from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.storage.run_queue import RunQueue

SLACK = 50
"""Buffers: deeper indexes."""

_FILL = """
with made as (
  insert into agenthall.threads (thread_id, owner_id)
  select gen_random_uuid(), 'somebody' from generate_series(1, $1::int) returning thread_id)
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready)
select gen_random_uuid(), m.thread_id, gen_random_uuid(), 1, $2, 'somebody', '{}', true from made m
"""


@contextlib.asynccontextmanager
async def _waiting(postgres: str, template: str, graph: str, runs: int) -> AsyncIterator[RunStorage]:
    async with fresh_database(postgres, template) as url, open_run_storage(url) as storage:
        await storage.admin.execute(_FILL, runs, graph, timeout=600)
        await storage.admin.execute("vacuum analyze agenthall.runs", timeout=600)
        yield storage


async def _buffers_of_a_claim(storage: RunStorage, slots: int, instance_runs: int) -> int:
    async with storage.system.acquire() as connection, connection.transaction():
        counting = CountingPool(connection)
        found = await RunQueue(cast("Any", counting)).claim(
            new_id(), slots, timedelta(minutes=1), [GRAPH, INSTANCES_GRAPH], instance_runs=instance_runs
        )
        assert found == []
        return counting.buffers


@pytest.mark.parametrize(("waiting", "room"), [(INSTANCES_GRAPH, (10, 0)), (GRAPH, (0, 10))])
async def test_a_claim_does_not_read_the_waiting_runs_of_the_other_kind(
    postgres: str, template: str, waiting: str, room: tuple[int, int]
) -> None:
    read = []
    for runs in (FEW, MANY):
        async with _waiting(postgres, template, waiting, runs) as storage:
            read.append(await _buffers_of_a_claim(storage, *room))
    assert read[1] <= read[0] + SLACK
