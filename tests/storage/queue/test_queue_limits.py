"""One owner and one organization may have a limited number of runs waiting and running."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from run_storage import GRAPH, LEASE, RunStorage, ended_run, new_run

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import TooMany
from robyn_server.core.ids import new_id
from robyn_server.core.queue.limits import PendingLimits
from robyn_server.core.runs import ClaimedRun
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.runs.runs import Runs

ACME, BETA = UUID(int=0xA), UUID(int=0xB)


def limited(storage: RunStorage, of_owner: int | None = None, of_organization: int | None = None) -> Runs:
    return Runs(storage.app, PendingLimits(of_owner, of_organization))


async def enqueue(runs: Runs, owner: str, organization: UUID | None = ACME, thread: UUID | None = None) -> str:
    """Return the outcome, or the code of the refusal."""
    try:
        new = new_run(thread or new_id(), organization_id=organization)
        return (await runs.enqueue(Principal(owner, organizations=None), new))[0]
    except TooMany as refused:
        return refused.code


async def enqueue_batch(runs: Runs, owner: str, count: int) -> str:
    batch = [new_run(new_id(), organization_id=ACME, new_thread="ephemeral") for _ in range(count)]
    try:
        await runs.enqueue_batch(Principal(owner, organizations=None), batch)
    except TooMany as refused:
        return refused.code
    return "enqueued"


async def waiting(storage: RunStorage) -> int:
    count: int = await storage.fetch_value("select count(*) from agenthall.runs where status = 'pending'")
    return count


async def claim(queue: RunQueue, slots: int = 10) -> list[ClaimedRun]:
    return await queue.claim(new_id(), slots, LEASE, [GRAPH])


# Waiting


async def test_an_owner_with_as_many_waiting_runs_as_allowed_is_refused(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=2)
    assert [await enqueue(runs, "ann") for _ in range(3)] == ["enqueued", "enqueued", "too_many_pending_runs"]
    assert await enqueue(runs, "bob") == "enqueued"
    assert await enqueue(runs, "ann", BETA) == "too_many_pending_runs"
    assert await waiting(storage) == 3


async def test_an_organization_with_as_many_waiting_runs_as_allowed_is_refused(storage: RunStorage) -> None:
    runs = limited(storage, of_organization=2)
    assert [await enqueue(runs, owner) for owner in "abc"] == ["enqueued", "enqueued", "too_many_pending_runs"]
    assert await enqueue(runs, "c", BETA) == "enqueued"


async def test_runs_without_an_organization_have_the_limit_of_their_owner_only(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=2, of_organization=1)
    outcomes = [await enqueue(runs, "ann", None) for _ in range(3)]
    assert outcomes == ["enqueued", "enqueued", "too_many_pending_runs"]


async def test_the_refusal_says_whose_limit_it_is(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=1)
    await enqueue(runs, "ann")
    with pytest.raises(TooMany, match="The queue holds 1 waiting runs of this owner, and no more are allowed"):
        await runs.enqueue(Principal("ann", organizations=None), new_run(new_id(), organization_id=ACME))


async def test_runs_that_wait_for_others_of_their_thread_count(storage: RunStorage) -> None:
    runs, thread = limited(storage, of_owner=2), new_id()
    outcomes = [await enqueue(runs, "ann", thread=thread) for _ in range(3)]
    assert outcomes == ["enqueued", "enqueued", "too_many_pending_runs"]


async def test_an_organization_s_scheduled_runs_do_not_count_but_their_owner_s_do(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=3, of_organization=1)
    for _ in range(2):
        later = new_run(new_id(), organization_id=ACME, after=timedelta(hours=1))
        assert (await runs.enqueue(Principal("ann", organizations=None), later))[0] == "enqueued"
    assert [await enqueue(runs, "ann") for _ in range(2)] == ["enqueued", "too_many_pending_runs"]


async def test_a_claimed_run_makes_room(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=1)
    await enqueue(runs, "ann")
    await claim(storage.queue)
    assert await enqueue(runs, "ann") == "enqueued"


async def test_a_refused_run_leaves_no_thread(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=1)
    await enqueue(runs, "ann")
    await enqueue(runs, "ann")
    assert await storage.fetch_value("select count(*) from agenthall.threads") == 1


async def test_each_run_of_a_batch_counts_and_all_or_none_are_enqueued(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=5)
    assert await enqueue_batch(runs, "ann", 4) == "enqueued"
    assert await enqueue_batch(runs, "ann", 2) == "too_many_pending_runs"
    assert await waiting(storage) == 4


@pytest.mark.parametrize("limits", [(7, None), (None, 7)])
async def test_of_many_runs_at_once_as_many_as_allowed_are_enqueued(
    storage: RunStorage, limits: tuple[int | None, int | None]
) -> None:
    runs = limited(storage, *limits)
    outcomes = Counter(await asyncio.gather(*(enqueue(runs, "ann") for _ in range(60))))
    assert outcomes == {"enqueued": 7, "too_many_pending_runs": 53}


async def test_batches_at_once_do_not_exceed_a_limit_together(storage: RunStorage) -> None:
    runs = limited(storage, of_owner=300)
    outcomes = await asyncio.gather(*(enqueue_batch(runs, "ann", 60) for _ in range(8)))
    assert Counter(outcomes) == {"enqueued": 5, "too_many_pending_runs": 3}


async def test_two_processes_that_alternate_exceed_no_limit(storage: RunStorage) -> None:
    processes = [limited(storage, of_owner=60, of_organization=50) for _ in range(2)]
    outcomes = Counter(
        [await enqueue(runs, owner) for _ in range(20) for owner in ("ann", "bob") for runs in processes]
    )
    assert outcomes == {"enqueued": 50, "too_many_pending_runs": 30}


async def test_a_process_of_the_version_before_has_no_limit(storage: RunStorage) -> None:
    assert [await enqueue(storage.runs, "ann") for _ in range(3)] == ["enqueued"] * 3


# Running


async def test_runs_above_the_limit_of_their_owner_wait_without_holding_up_others(storage: RunStorage) -> None:
    queue = storage.queue_with(of_owner=2)
    for owner in ("ann",) * 5 + ("bob",):
        await enqueue(storage.runs, owner)
    assert Counter(run.owner_id for run in await claim(queue)) == {"ann": 2, "bob": 1}
    assert await claim(queue) == []
    await enqueue(storage.runs, "bob")
    assert [run.owner_id for run in await claim(queue)] == ["bob"]


async def test_runs_above_the_limit_of_their_organization_wait_without_holding_up_others(storage: RunStorage) -> None:
    queue = storage.queue_with(of_organization=3)
    for owner in "abcde":
        await enqueue(storage.runs, owner)
    await enqueue(storage.runs, "a", BETA)
    assert Counter(run.organization_id for run in await claim(queue)) == {ACME: 3, BETA: 1}
    assert await claim(queue) == []


async def test_the_end_of_a_run_makes_room_for_the_next(storage: RunStorage) -> None:
    queue, worker = storage.queue_with(of_owner=1), new_id()
    for _ in range(2):
        await enqueue(storage.runs, "ann")
    (first,) = await queue.claim(worker, 5, LEASE, [GRAPH])
    assert await claim(queue) == []
    await queue.flush(worker, [], [ended_run(first)])
    assert len(await claim(queue)) == 1


async def test_the_limit_of_an_organization_does_not_hold_for_runs_without_one(storage: RunStorage) -> None:
    for _ in range(3):
        await enqueue(storage.runs, "ann", None)
    assert len(await claim(storage.queue_with(of_organization=1))) == 3
