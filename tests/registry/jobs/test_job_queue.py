"""Queued jobs for which there is no instance do not hold up those for which there is one."""

from __future__ import annotations

import pytest
from job_database import AGENT, JobDatabase
from read_costs import fill, touched
from registry_database import ORG_1

_DISPATCH = f"select * from mcp.dispatch_agent_jobs('{ORG_1}', '{AGENT}')"

_QUEUE = """
insert into mcp.agent_jobs (id, tenant_id, manifest_id, agent_id, state, input, created_at, required_capabilities)
select gen_random_uuid(), c.tenant_id, c.manifest_id, c.agent_id, 'queued', '{}', now() - interval '1 hour',
       array['ability ' || case when $3 then n else 0 end]
  from mcp.agent_configurations c, generate_series(1, $2) n
 where c.tenant_id = $1 and c.agent_id = $4
"""


async def _queue(jobs: JobDatabase, count: int, *, different: bool) -> None:
    """Queue old jobs that require what no instance has, all the same or each something else. The time stands still, so
    that no lease lapses meanwhile."""
    await jobs.later(0)
    await fill(jobs.registry.owner, _QUEUE, ORG_1, count, different, AGENT)


async def test_jobs_that_the_only_instance_rejected_do_not_hold_up_the_next(jobs: JobDatabase) -> None:
    await jobs.serve()
    rejected = [await jobs.create() for _ in range(60)]
    for job_id in rejected:
        assert await jobs.reject(await jobs.ref(job_id)) == "ok"
    assert {await jobs.state(job_id) for job_id in rejected} == {"queued"}
    assert await jobs.state(await jobs.create()) == "offered"


async def test_jobs_that_were_rejected_go_to_the_next_instance_in_their_order(jobs: JobDatabase) -> None:
    await jobs.serve()
    rejected = [await jobs.create() for _ in range(60)]
    for job_id in rejected:
        await jobs.reject(await jobs.ref(job_id))
    await jobs.serve("i2", slots=2)
    assert [await jobs.state(job_id) for job_id in rejected[:3]] == ["offered", "offered", "queued"]


@pytest.mark.parametrize("different", [False, True], ids=["the same", "each something else"])
async def test_many_jobs_that_nobody_can_do_do_not_hold_up_one_for_anybody(jobs: JobDatabase, different: bool) -> None:
    instance = await jobs.serve()
    await _queue(jobs, 1100, different=different)
    job_id = await jobs.create()
    assert await jobs.state(job_id) == "offered"
    following = await jobs.create()
    await jobs.finish(await jobs.run(job_id))
    assert (await jobs.state(following), (await jobs.slots(instance))["used"]) == ("offered", 1)


async def test_many_jobs_that_nobody_can_do_do_not_hold_up_one_with_conditions(jobs: JobDatabase) -> None:
    await jobs.serve(capabilities=["read"])
    await _queue(jobs, 1100, different=False)
    assert await jobs.state(await jobs.create(required_capabilities=["read"])) == "offered"


async def test_among_very_many_conditions_each_gets_its_turn(jobs: JobDatabase) -> None:
    await jobs.serve(capabilities=["read"])
    await _queue(jobs, 150, different=True)
    job_id = await jobs.create(required_capabilities=["read"])
    for _ in range(100):  # a sweep looks at 30 of the 151, so all of them miss it once in some 1,000,000,000 runs
        await jobs.sweep()
    assert await jobs.state(job_id) == "offered"


async def test_the_oldest_goes_first_whatever_the_conditions(jobs: JobDatabase) -> None:
    wanted = [["read"], [], ["write"], ["read"], []]
    instance = await jobs.serve(slots=0, capabilities=["read", "write"])
    waiting = [await jobs.create(required_capabilities=each) for each in wanted]
    await jobs.open(instance, slots=1)
    for position in range(len(waiting)):
        states = [await jobs.state(job_id) for job_id in waiting[position:]]
        assert states == ["offered"] + ["queued"] * (len(states) - 1)
        await jobs.finish(await jobs.run(waiting[position]))
    assert (await jobs.slots(instance))["used"] == 0


async def test_a_dispatch_reads_no_more_of_a_long_queue(jobs: JobDatabase) -> None:
    await jobs.serve()
    costs = list[int]()
    async with jobs.registry.owner.acquire() as connection:
        for count in (200, 20_000):
            await _queue(jobs, count, different=False)
            await connection.execute("vacuum analyze mcp.agent_jobs")
            costs.append(await touched(connection, _DISPATCH))
    assert costs[1] <= costs[0] + 20
