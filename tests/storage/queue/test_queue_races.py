"""Many at once on few threads: nothing is given twice, nothing is lost, nobody waits for each other in a circle."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from uuid import UUID

from run_storage import GRAPH, LEASE, RunStorage, custom_event, deadlocks, ended_run, new_run

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun


async def test_of_300_runs_asked_for_at_once_on_one_thread_one_is_ready(storage: RunStorage) -> None:
    thread = new_id()
    asked = [storage.runs.enqueue(LOCAL, new_run(thread)) for _ in range(300)]
    assert {outcome for outcome, _ in await asyncio.gather(*asked)} == {"enqueued"}
    assert await storage.fetch_value("select count(*) from agenthall.runs where ready") == 1
    await storage.check_invariants()


async def test_of_many_that_would_rather_be_rejected_one_is_taken(storage: RunStorage) -> None:
    thread = new_id()
    asked = [storage.runs.enqueue(LOCAL, new_run(thread, multitask_strategy="reject")) for _ in range(100)]
    assert Counter(outcome for outcome, _ in await asyncio.gather(*asked)) == {"enqueued": 1, "busy": 99}


async def test_workers_that_claim_at_once_share_without_doubles(storage: RunStorage) -> None:
    asked = [storage.enqueue(new_id()) for _ in range(200)]
    run_ids = set(await asyncio.gather(*asked))
    given = await asyncio.gather(*(storage.claim(new_id(), 10) for _ in range(40)))
    claimed = [run.run_id for runs in given for run in runs]
    assert len(claimed) == len(set(claimed))
    left = {run.run_id for run in await storage.claim(new_id(), 1000)}
    assert set(claimed) | left == run_ids


async def test_of_many_who_end_the_same_run_one_does(storage: RunStorage) -> None:
    worker = new_id()
    run = await storage.claim_new_run(worker)
    await storage.expire_leases(run.run_id)
    ways = [storage.queue.flush(worker, [], [ended_run(run)]) for _ in range(10)] + [
        storage.queue.rescue() for _ in range(10)
    ]
    await asyncio.gather(*ways)
    await storage.check_invariants()


class _Crowd:
    """Does at random what clients and workers do, and keeps count of what it asked for."""

    def __init__(self, storage: RunStorage, seed: int) -> None:
        self.storage = storage
        self.random = random.Random(seed)
        self.threads = [new_id() for _ in range(3)]
        self.asked: set[UUID] = set()
        self.held: dict[UUID, list[ClaimedRun]] = {new_id(): [], new_id(): []}

    async def act(self) -> None:
        steps = (self.enqueue,) * 3 + (self.claim,) * 3 + (self.flush,) * 4
        steps += (self.cancel, self.delete, self.rescue, self.renew, self.release, self.delete_all)
        await self.random.choice(steps)()

    async def enqueue(self) -> None:
        strategy = self.random.choice(["enqueue"] * 8 + ["interrupt", "rollback"])
        new = new_run(self.random.choice(self.threads), assistant_id=UUID(int=7), multitask_strategy=strategy)
        outcome, _ = await self.storage.runs.enqueue(LOCAL, new)
        assert outcome == "enqueued"
        self.asked.add(new.run_id)

    async def claim(self) -> None:
        worker = self.random.choice(list(self.held))
        self.held[worker] += await self.storage.claim(worker, 2)

    async def flush(self) -> None:
        worker = self.random.choice(list(self.held))
        runs, self.held[worker] = self.held[worker], []
        done = runs[: self.random.randint(0, len(runs))]
        self.random.shuffle(runs)
        await self.storage.queue.flush(
            worker, [custom_event(run, run.last_seq + 1) for run in runs], [ended_run(run) for run in done]
        )

    async def cancel(self) -> None:
        thread = self.random.choice(self.threads)
        row = await self.storage.fetch_value(
            "select run_id from agenthall.runs where thread_id = $1 order by random() limit 1", thread
        )
        action = self.random.choice(["interrupt", "rollback"])
        if row is not None and await self.storage.runs.cancel(LOCAL, thread, row, action) == "pending":
            await self.storage.queue.cancel_pending(row, action)

    async def delete(self) -> None:
        await self.storage.threads.delete(LOCAL, self.random.choice(self.threads))

    async def delete_all(self) -> None:
        """As deleting an assistant with its threads does."""
        async with self.storage.assistants.transaction(LOCAL) as connection:
            await self.storage.assistants.delete(connection, await self._assistant(), with_threads=True)

    async def _assistant(self) -> UUID:
        await self.storage.admin.execute(
            """insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility)
               values ($1, 'echo', 'echo', 'local', 'private') on conflict do nothing""",
            UUID(int=7),
        )
        return UUID(int=7)

    async def rescue(self) -> None:
        await self.storage.admin.execute(
            "update agenthall.runs set lease_until = now() where run_id = (select run_id from agenthall.runs "
            "where status = 'running' order by random() limit 1 for update skip locked)"
        )
        await self.storage.queue.rescue()

    async def renew(self) -> None:
        for worker, runs in self.held.items():
            await self.storage.queue.renew(worker, [run.run_id for run in runs], new_run(new_id()).after)

    async def release(self) -> None:
        await self.storage.queue.release(self.random.choice(list(self.held)), drained=self.random.random() < 0.5)


async def test_a_crowd_on_three_threads_neither_deadlocks_nor_loses_a_run(storage: RunStorage) -> None:
    crowd = _Crowd(storage, seed=20)

    async def member() -> None:
        for _ in range(60):
            await crowd.act()

    await asyncio.gather(*(member() for _ in range(16)))
    await storage.check_invariants()
    last = new_id()
    await storage.admin.execute(
        "update agenthall.runs set lease_until = now() - interval '1 hour' where status = 'running'"
    )
    await storage.queue.rescue()
    # runs that lost two workers are executed alone
    while runs := await storage.claim(last) + await storage.queue.claim_alone(last, LEASE, [GRAPH]):
        await storage.queue.flush(last, [], [ended_run(run) for run in runs])
    await storage.check_invariants()
    closed = await storage.fetch_value(
        "select count(distinct run_id) from agenthall.run_events where event = '__end__'"
    )
    assert closed == len(crowd.asked) > 100
    assert await deadlocks(storage.url) == 0
