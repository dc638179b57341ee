"""Scaling signals tell how much work an agent's instances have, and how many instances it calls for."""

from __future__ import annotations

import pytest
from job_database import JobDatabase
from registry_database import ORG_1, ORG_2

from robyn_server.core.registry.scaling import ScalingSignals
from robyn_server.storage.registry.scaling import Scaling


async def _signals(jobs: JobDatabase, agent: str | None = None) -> list[ScalingSignals]:
    return await Scaling(jobs.registry.app).search(ORG_1, agent, after=None, limit=10)


async def test_signals_count_jobs_and_slots(jobs: JobDatabase) -> None:
    await jobs.serve("i1", slots=2)
    await jobs.serve("i2", slots=4)
    made = [await jobs.create() for _ in range(8)]
    for job_id in made[:3]:
        await jobs.run(job_id)
    (found,) = await _signals(jobs)
    assert (found.queued, found.offered, found.in_flight) == (2, 3, 3)
    assert (found.instances, found.slots, found.utilisation, found.ejected) == (2, 6, 1.0, 0)
    assert found.oldest_queued_seconds > 0
    assert found.desired_instances == 4, "eight jobs on instances with three slots each, used to 80 %"


async def test_an_agent_without_work_calls_for_no_instance(jobs: JobDatabase) -> None:
    await jobs.serve(slots=2)
    (found,) = await _signals(jobs)
    assert (found.desired_instances, found.utilisation, found.oldest_queued_seconds) == (0, 0.0, 0.0)


async def test_an_agent_without_instances_calls_for_the_first(jobs: JobDatabase) -> None:
    await jobs.register()
    await jobs.create()
    (found,) = await _signals(jobs)
    assert (found.slots, found.utilisation, found.desired_instances) == (0, 1.0, 2)


async def test_instances_that_take_no_work_have_no_slots(jobs: JobDatabase) -> None:
    draining = await jobs.serve("i1", slots=5)
    await jobs.end("drain", draining)
    await jobs.serve("i2", slots=3)
    (found,) = await _signals(jobs)
    assert (found.instances, found.slots) == (1, 3)


async def test_the_configuration_limits_the_slots(jobs: JobDatabase) -> None:
    await jobs.serve(slots=10)
    await jobs.registry.owner.execute("update mcp.agent_configurations set max_workload = 2")
    (found,) = await _signals(jobs)
    assert (found.slots, found.per_instance) == (2, 2.0)


async def test_an_ejected_instance_is_counted(jobs: JobDatabase) -> None:
    await jobs.serve(slots=5)
    for _ in range(3):
        await jobs.fail(await jobs.run(await jobs.create()))
    (found,) = await _signals(jobs)
    assert (found.instances, found.ejected) == (1, 1)


async def test_agents_come_in_order_and_only_those_of_the_organization(jobs: JobDatabase) -> None:
    for agent in ("b", "a", "c"):
        await jobs.serve(agent=agent)
    await jobs.serve(agent="a", tenant=ORG_2)
    assert [each.agent_id for each in await _signals(jobs)] == ["a", "b", "c"]
    assert [each.agent_id for each in await _signals(jobs, "c")] == ["c"]
    page = await Scaling(jobs.registry.app).search(ORG_1, None, after="a", limit=1)
    assert [each.agent_id for each in page] == ["b"]


async def test_totals_are_those_of_all_organizations(jobs: JobDatabase) -> None:
    await jobs.serve(slots=1)
    await jobs.serve(tenant=ORG_2, slots=2)
    for tenant in (ORG_1, ORG_1, ORG_2):
        await jobs.create(tenant)
    await jobs.serve(agent="idle")
    busy, idle = await Scaling(jobs.registry.system).totals(10)
    assert (busy.agent, busy.queued, busy.used, busy.slots) == ("bot", 1, 2, 3)
    assert (idle.agent, idle.queued, idle.slots) == ("idle", 0, 1)
    assert [each.agent for each in await Scaling(jobs.registry.system).totals(1)] == ["bot"]


async def test_an_agent_whose_instances_all_drain_has_no_slots_in_the_totals(jobs: JobDatabase) -> None:
    await jobs.end("drain", await jobs.serve(slots=5))
    (found,) = await Scaling(jobs.registry.system).totals(10)
    assert (found.agent, found.used, found.slots) == ("bot", 0, 0)


@pytest.mark.parametrize(("work", "desired"), [(0, 0), (1, 1), (3, 1), (4, 2), (32, 10)])
def test_desired_instances_leave_a_fifth_of_the_slots_free(work: int, desired: int) -> None:
    assert ScalingSignals("bot", work, 0.0, 0, 0, 1, 4, 0, 4.0).desired_instances == desired
