"""Organizations take turns in the queue, and owners within one; each line keeps its order."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from databases import fresh_database
from read_costs import fill
from run_storage import GRAPH, LEASE, RunStorage, ended_run, open_run_storage

from robyn_server.core.access.principal import Principal
from robyn_server.core.ids import new_id
from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.core.runs import ClaimedRun
from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import migrate
from robyn_server.storage.runs.queue import RunQueue

ACME, BETA, CORP = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)
BEFORE_TURNS = 57
_FILL = """
with made as (
  insert into agenthall.threads (thread_id, owner_id, organization_id)
  select gen_random_uuid(), $2 || n % $4::int, $3::uuid from generate_series(1, $1::int) n
  returning thread_id, owner_id, organization_id)
insert into agenthall.runs (
  run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, organization_id, kwargs, ready)
select gen_random_uuid(), m.thread_id, gen_random_uuid(), 1, 'echo', m.owner_id, m.organization_id, '{}', true
  from made m
"""


async def queue_runs(storage: RunStorage, runs: int, organization: UUID, *, owners: int = 1) -> None:
    """Let runs of an organization wait."""
    await fill(storage.admin, _FILL, runs, "owner", organization, owners)


async def enqueue(storage: RunStorage, organization: UUID | None, owner: str = "one", count: int = 1) -> list[UUID]:
    principal = Principal(owner, organizations=None)
    return [await storage.enqueue(new_id(), principal, organization_id=organization) for _ in range(count)]


async def claim_singly(queue: RunQueue, count: int) -> list[ClaimedRun]:
    """Claim with a worker that has one slot free at a time."""
    worker, claimed = new_id(), list[ClaimedRun]()
    for _ in range(count):
        claimed += await queue.claim(worker, 1, LEASE, [GRAPH])
    return claimed


def organizations(runs: Sequence[ClaimedRun]) -> list[UUID | None]:
    return [run.organization_id for run in runs]


async def test_organizations_alternate(storage: RunStorage) -> None:
    for organization, count in ((ACME, 6), (BETA, 3), (CORP, 3)):
        await enqueue(storage, organization, count=count)
    order = organizations(await claim_singly(storage.queue, 12))
    for turn in range(3):
        assert set(order[3 * turn : 3 * turn + 3]) == {ACME, BETA, CORP}
    assert order[9:] == [ACME] * 3


async def test_the_slots_of_one_claim_are_shared_out_in_turns(storage: RunStorage) -> None:
    await enqueue(storage, ACME, count=20)
    await enqueue(storage, BETA, count=20)
    assert Counter(organizations(await storage.claim(new_id(), 10))) == {ACME: 5, BETA: 5}


async def test_owners_alternate_within_their_organization(storage: RunStorage) -> None:
    for owner, count in (("ann", 6), ("bob", 2), ("cy", 2)):
        await enqueue(storage, ACME, owner, count)
    order = [run.owner_id for run in await claim_singly(storage.queue, 10)]
    assert set(order[:3]) == set(order[3:6]) == {"ann", "bob", "cy"}
    assert order[6:] == ["ann"] * 4


async def test_many_owners_have_no_more_turns_than_one(storage: RunStorage) -> None:
    await queue_runs(storage, 400, ACME, owners=100)
    await enqueue(storage, BETA, count=10)
    assert Counter(organizations(await claim_singly(storage.queue, 20))) == {ACME: 10, BETA: 10}


async def test_runs_without_an_organization_take_turns_by_owner(storage: RunStorage) -> None:
    for owner in ("ann", "bob"):
        await enqueue(storage, None, owner, 3)
    order = [run.owner_id for run in await claim_singly(storage.queue, 6)]
    assert order in (["ann", "bob"] * 3, ["bob", "ann"] * 3)


async def test_one_owner_s_runs_are_claimed_in_the_order_of_time(storage: RunStorage) -> None:
    asked = [await storage.enqueue(new_id()) for _ in range(5)]
    assert [run.run_id for run in await claim_singly(storage.queue, 5)] == asked


@pytest.mark.parametrize("owners", [1, 500])
async def test_ten_thousand_waiting_runs_delay_another_organization_by_one_turn_at_most(
    storage: RunStorage, owners: int
) -> None:
    await queue_runs(storage, 10_000, ACME, owners=owners)
    queue = storage.queue
    await claim_singly(queue, 3)
    await enqueue(storage, BETA)
    assert BETA in organizations(await claim_singly(queue, 2))


async def test_an_organization_starts_as_many_runs_in_a_turn_as_its_weight(storage: RunStorage) -> None:
    for organization in (ACME, BETA):
        await enqueue(storage, organization, count=12)
    order = organizations(await claim_singly(storage.queue_with(weights={ACME: 3}), 12))
    assert Counter(order) == {ACME: 9, BETA: 3}
    assert Counter(order[:4]) == {ACME: 3, BETA: 1}


async def test_a_weight_holds_for_each_owner_s_share(storage: RunStorage) -> None:
    for organization, owner in ((ACME, "ann"), (ACME, "bob"), (BETA, "cy")):
        await enqueue(storage, organization, owner, 8)
    claimed = await claim_singly(storage.queue_with(weights={ACME: 2}), 12)
    assert Counter(run.owner_id for run in claimed) == {"ann": 4, "bob": 4, "cy": 4}


async def test_a_released_run_keeps_its_place(storage: RunStorage) -> None:
    worker = new_id()
    first, second = await enqueue(storage, ACME, count=2)
    (claimed,) = await storage.claim(worker, 1)
    assert claimed.run_id == first
    await storage.queue.release(worker, drained=True)
    assert [run.run_id for run in await claim_singly(storage.queue, 2)] == [first, second]


async def test_a_run_behind_another_of_its_thread_gets_its_turn_when_that_ends(storage: RunStorage) -> None:
    worker, thread, principal = new_id(), new_id(), Principal("one", organizations=None)
    await storage.enqueue(thread, principal, organization_id=ACME)
    behind = await storage.enqueue(thread, principal, organization_id=ACME)
    (first,) = await storage.claim(worker)
    assert await storage.claim(new_id()) == []
    await storage.queue.flush(worker, [], [ended_run(first)])
    assert [run.run_id for run in await storage.claim(new_id())] == [behind]


async def test_a_scheduled_run_has_a_turn_when_it_is_due(storage: RunStorage) -> None:
    principal, queue = Principal("one", organizations=None), storage.queue
    later = await storage.enqueue(new_id(), principal, organization_id=BETA, after=timedelta(hours=1))
    await enqueue(storage, ACME, count=4)
    assert organizations(await claim_singly(queue, 2)) == [ACME, ACME]
    await storage.admin.execute("update agenthall.runs set run_at = now() where run_id = $1", later)
    assert BETA in organizations(await claim_singly(storage.queue, 2))  # a worker looks for such runs in each poll


async def test_a_worker_s_own_graphs_are_shared_out_beside_runs_that_it_cannot_take(storage: RunStorage) -> None:
    principal = Principal("one", organizations=None)
    for _ in range(3):
        await storage.enqueue(new_id(), principal, organization_id=CORP, graph_id="elsewhere")
    for organization in (ACME, BETA):
        await enqueue(storage, organization, count=3)
    order = organizations(await claim_singly(storage.queue, 6))
    assert Counter(order[:2]) == Counter(order[2:4]) == {ACME: 1, BETA: 1}


async def test_runs_of_instances_take_turns_of_their_own(storage: RunStorage) -> None:
    for organization, graph in ((ACME, INSTANCES_GRAPH), (BETA, INSTANCES_GRAPH), (ACME, GRAPH)):
        for _ in range(4):
            await storage.enqueue(
                new_id(), Principal("one", organizations=None), organization_id=organization, graph_id=graph
            )
    claimed = await storage.queue.claim(new_id(), 2, LEASE, [GRAPH, INSTANCES_GRAPH], instance_runs=4)
    assert Counter((run.organization_id, run.graph_id) for run in claimed) == {
        (ACME, GRAPH): 2,
        (ACME, INSTANCES_GRAPH): 2,
        (BETA, INSTANCES_GRAPH): 2,
    }


_OLD_CLAIM = """
select r.run_id from agenthall.claim_runs(
  p_worker => $1, p_slots => 1, p_lease => interval '1 minute', p_graphs => array['echo'], p_instance_runs => 0) r
"""


async def test_runs_from_before_the_migration_have_a_place_for_workers_of_the_version_before(
    postgres: str, tmp_path: Path
) -> None:
    for path in sorted(packaged("migrations").glob("*.sql"))[:BEFORE_TURNS]:
        shutil.copy(path, tmp_path)
    async with fresh_database(postgres) as url:
        await migrate(url, tmp_path)
        async with open_run_storage(url, size=2) as storage:
            await queue_runs(storage, 20, ACME, owners=2)
            await queue_runs(storage, 2, BETA)
            await storage.admin.execute(
                "update agenthall.runs set run_at = now() + interval '1 hour' where owner_id = 'owner1'"
            )
            await migrate(url, packaged("migrations"))
            workers = [await storage.system.fetch(_OLD_CLAIM, new_id()) for _ in range(20)]
            claimed = [rows[0]["run_id"] for rows in workers if rows]
            assert len(set(claimed)) == len(claimed) == 12
