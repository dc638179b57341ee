"""A claim, and the limits of a new run, read as much beside many waiting runs as beside a thousand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool, load, touched
from run_storage import GRAPH, RunStorage, open_run_storage

from robyn_server.core.access.principal import Principal
from robyn_server.core.ids import new_id
from robyn_server.core.queue.limits import RunningLimits
from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.storage.runs.queue import RunQueue

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
        await load(storage.admin, _FILL, runs, graph, triggers=False)
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


CROWD, OTHER = UUID(int=7), UUID(int=9)
_CROWD = """
with made as (
  insert into agenthall.threads (thread_id, owner_id, organization_id)
  select gen_random_uuid(), 'owner' || n % $2::int, case when $3 then md5(n::text)::uuid else $4::uuid end
    from generate_series(1, $1::int) n
  returning thread_id, owner_id, organization_id)
insert into agenthall.runs (
  run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, organization_id, kwargs, ready, run_at)
select gen_random_uuid(), m.thread_id, gen_random_uuid(), 1, 'echo', m.owner_id, m.organization_id, '{}', true,
       now() + $5::interval
  from made m
"""


class Crowd(NamedTuple):
    """The owners of the waiting runs: so many, in one organization or each run in its own, due `after`."""

    owners: int
    own_organizations: bool = False
    after: timedelta = timedelta(0)


@contextlib.asynccontextmanager
async def _beside(postgres: str, template: str, crowd: Crowd, runs: int) -> AsyncIterator[RunStorage]:
    async with fresh_database(postgres, template) as url, open_run_storage(url) as storage:
        await load(
            storage.admin, _CROWD, runs, crowd.owners, crowd.own_organizations, CROWD, crowd.after, triggers=False
        )
        yield storage


async def _buffers_of_claims(storage: RunStorage, limits: RunningLimits) -> int:
    """Of three claims of four runs, which are taken back."""
    async with storage.system.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        counting = CountingPool(connection)
        queue = RunQueue(cast("Any", counting), limits)
        for _ in range(3):
            await queue.claim(new_id(), 4, timedelta(minutes=1), [GRAPH])
        assert await connection.fetchval("select count(*) from agenthall.runs where status = 'running'") > 0
        await transaction.rollback()
        return counting.buffers


async def _buffers_of_counts(storage: RunStorage) -> int:
    """Of what the limits of waiting runs count for a new run."""
    count = "select agenthall.count_pending(null, 'owner0', 101), agenthall.count_pending($1::uuid, null, 501)"
    async with storage.system.acquire() as connection:
        return await touched(connection, count, CROWD)


@pytest.mark.parametrize(
    "crowd",
    [
        Crowd(1),
        Crowd(1000),
        Crowd(10**9, own_organizations=True),
        Crowd(10**9, own_organizations=True, after=timedelta(1)),
    ],
    ids=["of-one-owner", "of-an-organization", "of-many-organizations", "scheduled"],
)
async def test_claims_and_limits_do_not_read_the_waiting_runs_of_others(
    postgres: str, template: str, crowd: Crowd
) -> None:
    """Another organization has one run."""
    without, limited, counts = list[int](), list[int](), list[int]()
    for runs in (FEW, MANY):
        async with _beside(postgres, template, crowd, runs) as storage:
            await storage.enqueue(new_id(), Principal("other", organizations=None), organization_id=OTHER)
            without.append(await _buffers_of_claims(storage, RunningLimits()))
            limited.append(await _buffers_of_claims(storage, RunningLimits(of_owner=2, of_organization=2)))
            counts.append(await _buffers_of_counts(storage))
    # some forty statements, each in a deeper index
    assert 0 < without[1] <= without[0] + 5 * SLACK
    assert 0 < limited[1] <= limited[0] + 5 * SLACK
    assert 0 < counts[1] <= counts[0] + SLACK
