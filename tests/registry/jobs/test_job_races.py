"""Many clients at once: no deadlock, no job twice, no slot lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from uuid import UUID

from job_database import Instance, JobDatabase, Ref
from job_state_machine import ACCEPTED_TWICE, OPEN_OFFERS, USED
from registry_database import RegistryDatabase

_JOBS = 300
_INSTANCES = 8


async def _work(jobs: JobDatabase, name: str, seed: int, ends: Counter[str], is_over: asyncio.Event) -> None:
    """Take offers until all jobs have ended. Sometimes reject, forget, fail, or register again."""
    dice = random.Random(seed)
    instance = await jobs.serve(name, slots=3)
    while not is_over.is_set():
        rows = await jobs.registry.system.fetch("select * from mcp.agent_offers($1)", [instance.registration_id])
        for row in rows:
            ref = Ref(row["tenant_id"], row["job_id"], row["attempt"], row["registration_id"], row["epoch"])
            await _handle(jobs, ref, row["state"], dice, ends)
        if not rows and dice.random() < 0.2:
            await jobs.heartbeat(instance)
        if dice.random() < 0.02:
            instance = await _register_again(jobs, instance, dice)


async def _handle(jobs: JobDatabase, ref: Ref, state: str, dice: random.Random, ends: Counter[str]) -> None:
    if state != "offered":
        await jobs.finish(ref, "cancelled")
    elif dice.random() < 0.1:
        await jobs.reject(ref)
    elif dice.random() > 0.05 and await jobs.accept(ref) == "ok":  # else it is silent
        await jobs.append(ref, 1, "a", "b")
        if await jobs.finish(ref, through_seq=2) == "ok":
            ends[str(ref.job_id)] += 1


async def _register_again(jobs: JobDatabase, instance: Instance, dice: random.Random) -> Instance:
    if dice.random() < 0.3:
        await jobs.end("deregister", instance)
    return await jobs.serve(instance.name, slots=3)


async def _sweep(jobs: JobDatabase, is_over: asyncio.Event) -> None:
    """Sweep as of some seconds later, so that silence ends soon."""
    while not is_over.is_set():
        later = await jobs.registry.later(2.1)
        await jobs.registry.system.execute("select * from mcp.sweep_agent_jobs(now => $1)", later)
        await asyncio.sleep(0)


async def _create(jobs: JobDatabase, count: int, seed: int) -> list[UUID]:
    dice, made = random.Random(seed), list[UUID]()
    for _ in range(count):
        thread = UUID(int=dice.randrange(1, 20))
        made.append(
            await jobs.create(retry="always", max_attempts=100, start_within=timedelta(hours=1), thread_id=thread)
        )
        if dice.random() < 0.05:
            await jobs.cancel(made[-1], grace=0)
    return made


async def test_clients_that_act_at_once_break_no_rule(registry: RegistryDatabase) -> None:
    jobs, ends, is_over = JobDatabase(registry), Counter[str](), asyncio.Event()
    await jobs.register("nobody")
    async with asyncio.TaskGroup() as tasks:
        for number in range(_INSTANCES):
            tasks.create_task(_work(jobs, f"i{number}", number, ends, is_over))
        for _ in range(2):
            tasks.create_task(_sweep(jobs, is_over))
        batches = await asyncio.gather(*(_create(jobs, _JOBS // 4, seed) for seed in range(4)))
        while await registry.owner.fetchval("select count(*) from mcp.agent_jobs where ended_at is null"):
            await asyncio.sleep(0.05)
        is_over.set()
    for query in (USED, OPEN_OFFERS, ACCEPTED_TWICE):
        assert await registry.owner.fetch(query) == []
    rows = await registry.owner.fetch("select id, state from mcp.agent_jobs")
    assert len(rows) == sum(map(len, batches))
    assert {row["state"] for row in rows} <= {"succeeded", "cancelled", "failed"}
    assert ends == {str(row["id"]): 1 for row in rows if row["state"] == "succeeded"}
