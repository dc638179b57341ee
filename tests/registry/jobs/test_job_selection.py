"""The choice of the instance for a job, and circuit breakers."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from job_database import JobDatabase
from registry_database import ORG_1, ORG_2

from robyn_server.storage.registry.instances.instances import Instances


async def _chosen(jobs: JobDatabase, **more: Any) -> tuple[str, str]:
    """Create a job, and return the instance that is offered it and why."""
    job_id = await jobs.create(**more)
    offers = await jobs.offers(job_id)
    return offers[-1]["instance_id"], offers[-1]["chosen_by"]


async def test_the_least_used_share_of_slots_is_chosen(jobs: JobDatabase) -> None:
    await jobs.serve("small", slots=2)
    await jobs.serve("large", slots=8)
    chosen = Counter([(await _chosen(jobs))[0] for _ in range(10)])
    assert chosen == {"small": 2, "large": 8}


async def test_healthy_instances_come_before_degraded_ones(jobs: JobDatabase) -> None:
    degraded = await jobs.serve("degraded", slots=9)
    await jobs.heartbeat(degraded, "degraded")
    await jobs.serve("healthy", slots=2)
    assert [(await _chosen(jobs))[0] for _ in range(3)] == ["healthy", "healthy", "degraded"]


@pytest.mark.parametrize("health", ["starting", "unhealthy"])
async def test_an_instance_that_is_not_well_gets_nothing(jobs: JobDatabase, health: str) -> None:
    instance = await jobs.serve()
    await jobs.heartbeat(instance, health)
    job_id = await jobs.create()
    assert await jobs.state(job_id) == "queued"
    await jobs.heartbeat(instance, "healthy")
    await jobs.sweep()
    assert await jobs.state(job_id) == "offered"


async def test_an_instance_that_states_no_slots_gets_nothing(jobs: JobDatabase) -> None:
    await jobs.register()
    assert await jobs.state(await jobs.create()) == "queued"
    await jobs.serve("i2", slots=0)
    assert await jobs.state(await jobs.create()) == "queued"


async def test_the_configuration_limits_the_jobs_of_an_instance(jobs: JobDatabase) -> None:
    await jobs.serve(slots=10)
    await jobs.registry.owner.execute("update mcp.agent_configurations set max_workload = 2")
    assert [await jobs.state(await jobs.create()) for _ in range(3)] == ["offered", "offered", "queued"]


async def test_jobs_wait_for_a_slot_and_the_oldest_goes_first(jobs: JobDatabase) -> None:
    await jobs.serve()
    running, second, third = [await jobs.create() for _ in range(3)]
    await jobs.finish(await jobs.run(running))
    assert [await jobs.state(each) for each in (second, third)] == ["offered", "queued"]


async def test_a_job_that_is_deleted_frees_its_slot(jobs: JobDatabase) -> None:
    """As an erasure deletes it, while its instance works."""
    instance = await jobs.serve()
    running, waiting = [await jobs.create() for _ in range(2)]
    await jobs.run(running)
    await jobs.registry.system.execute("delete from mcp.agent_jobs where id = $1", running)
    await jobs.sweep()
    assert (await jobs.state(waiting), (await jobs.slots(instance))["used"]) == ("offered", 1)


async def test_a_disabled_configuration_gives_no_jobs(jobs: JobDatabase) -> None:
    await jobs.serve(slots=2)
    await jobs.registry.owner.execute("update mcp.agent_configurations set enabled = false")
    with pytest.raises(Exception, match="disabled"):
        await jobs.create()


async def test_an_instance_must_have_what_a_job_requires(jobs: JobDatabase) -> None:
    await jobs.serve("plain", slots=9)
    await jobs.serve("able", slots=1, capabilities=["translate", "read"], tags=["gpu"], version="1.5.0")
    for more in (
        {"required_capabilities": ["read"]},
        {"required_tags": ["gpu"]},
        {"version_low": "1.5.0", "version_high": "2"},
    ):
        job_id = await jobs.create(**more)
        assert (await jobs.offers(job_id))[0]["instance_id"] == "able"
        await jobs.cancel(job_id)
    waiting = await jobs.create(version_low="1.5.0", version_low_inclusive=False)
    assert await jobs.state(waiting) == "queued"
    assert (await _chosen(jobs))[0] in {"plain", "able"}, "a job that finds no instance does not hold up others"


async def test_a_job_that_is_queued_goes_to_an_instance_that_learns(jobs: JobDatabase) -> None:
    instance = await jobs.serve()
    job_id = await jobs.create(required_capabilities=["read"])
    await jobs.registry.app.execute(
        "select mcp.update_agent_instance($1, $2, $3, capabilities => '{read}')",
        *(instance.tenant, instance.registration_id, instance.epoch),
    )
    await jobs.sweep()
    assert await jobs.state(job_id) == "offered"


async def test_a_thread_stays_with_its_instance(jobs: JobDatabase) -> None:
    for name in ("i1", "i2", "i3"):
        await jobs.serve(name, slots=50)
    thread = uuid4()
    first = await jobs.create(thread_id=thread)
    await jobs.run(first)
    home = (await jobs.offers(first))[0]["instance_id"]
    assert {await _chosen(jobs, thread_id=thread) for _ in range(8)} == {(home, "affinity")}


async def test_a_thread_moves_when_its_instance_is_away(jobs: JobDatabase) -> None:
    one = await jobs.serve("i1")
    thread = uuid4()
    await jobs.finish(await jobs.run(await jobs.create(thread_id=thread)))
    await jobs.serve("i2")
    await jobs.end("drain", one)
    assert await _chosen(jobs, thread_id=thread) == ("i2", "least_used")


async def test_a_new_affinity_key_has_one_place_for_all(jobs: JobDatabase) -> None:
    for number in range(5):
        await jobs.serve(f"i{number}", slots=100)
    chosen = {key: {await _chosen(jobs, affinity_key=key) for _ in range(4)} for key in ("a", "b", "c", "d", "e", "f")}
    assert all(len(each) == 1 for each in chosen.values())
    assert {reason for each in chosen.values() for _, reason in each} == {"rendezvous"}
    assert len({name for each in chosen.values() for name, _ in each}) > 1


async def test_instances_of_the_zone_are_preferred(jobs: JobDatabase) -> None:
    await jobs.serve("far", slots=9, zone="b")
    await jobs.serve("near", slots=1, zone="a")
    assert [await _chosen(jobs, zone="a") for _ in range(2)] == [("near", "zone"), ("far", "least_used")]


async def test_other_tenants_instances_are_never_chosen(jobs: JobDatabase) -> None:
    await jobs.serve("theirs", tenant=ORG_2)
    await jobs.register("ours")
    assert await jobs.state(await jobs.create()) == "queued"


async def test_equal_instances_get_equal_shares(jobs: JobDatabase) -> None:
    await jobs.later(0)  # the clock stands still, and no lease lapses however long this takes
    for number in range(10):
        await jobs.serve(f"i{number}", slots=4)
    chosen: Counter[str] = Counter()
    for _ in range(300):
        job_id = await jobs.create()
        chosen[(await jobs.offers(job_id))[0]["instance_id"]] += 1
        await jobs.finish(await jobs.run(job_id))
    assert set(chosen.values()) == {30}


async def test_instances_get_shares_in_proportion_to_their_slots(jobs: JobDatabase) -> None:
    await jobs.later(0)
    for name, slots in (("one", 1), ("two", 2), ("four", 4)):
        await jobs.serve(name, slots=slots)
    chosen: Counter[str] = Counter()
    for _ in range(140):
        job_id = await jobs.create()
        chosen[(await jobs.offers(job_id))[0]["instance_id"]] += 1
        await jobs.finish(await jobs.run(job_id))
    assert chosen == {"one": 20, "two": 40, "four": 80}


@pytest.mark.parametrize("together", [7, 10, 14, 21])
async def test_jobs_at_the_same_time_are_in_proportion_to_the_slots(jobs: JobDatabase, together: int) -> None:
    instances = [await jobs.serve(name, slots=slots) for name, slots in (("i4", 4), ("i8", 8), ("i16", 16))]
    for _ in range(together):
        await jobs.run(await jobs.create())
    rows = await jobs.registry.owner.fetch("select registration_id, used from mcp.agent_slots")
    used = {row["registration_id"]: row["used"] for row in rows}
    for instance, part in zip(instances, (1, 2, 4), strict=True):
        assert abs(used[instance.registration_id] - together * part / 7) < 1


async def test_a_new_instance_does_not_catch_up(jobs: JobDatabase) -> None:
    await jobs.serve("old", slots=2)
    for _ in range(20):
        await jobs.finish(await jobs.run(await jobs.create()))
    await jobs.serve("new", slots=2)
    chosen: Counter[str] = Counter()
    for _ in range(10):
        job_id = await jobs.create()
        chosen[(await jobs.offers(job_id))[0]["instance_id"]] += 1
        await jobs.finish(await jobs.run(job_id))
    assert chosen == {"old": 5, "new": 5}


# polls


async def test_a_poll_gets_as_many_offers_as_it_asks_for(jobs: JobDatabase) -> None:
    instance = await jobs.register()
    await jobs.open(instance, 5)
    waiting = [await jobs.create() for _ in range(3)]
    assert [await jobs.state(each) for each in waiting] == ["offered"] * 3
    for each in waiting:
        await jobs.cancel(each)
    claimed = await jobs.claim(instance, max_jobs=2)
    assert claimed["outcome"] == "ok"
    waiting = [await jobs.create() for _ in range(3)]
    assert [await jobs.state(each) for each in waiting] == ["offered", "offered", "queued"]


async def test_an_instance_that_states_nothing_polls_one_job_at_a_time(jobs: JobDatabase) -> None:
    instance = await jobs.register()
    first, second = await jobs.create(), await jobs.create()
    assert list((await jobs.claim(instance))["offered"]) == [instance.registration_id]
    ref = await jobs.run(first)
    assert list((await jobs.claim(instance))["offered"]) == []
    await jobs.finish(ref)
    await jobs.claim(instance)
    assert await jobs.state(second) == "offered"


async def test_a_poll_that_ended_gets_no_more_offers(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.register()
    await jobs.claim(instance, wait_seconds=5)
    await jobs.later(5)
    assert await jobs.state(await jobs.create()) == "queued"


# circuit breakers


async def _fail(jobs: JobDatabase, times: int) -> None:
    for _ in range(times):
        await jobs.fail(await jobs.run(await jobs.create()))


async def test_three_failures_in_a_row_eject_an_instance(jobs: JobDatabase) -> None:
    await jobs.later(0)
    bad = await jobs.serve("bad", slots=100)
    await _fail(jobs, 2)
    await jobs.finish(await jobs.run(await jobs.create()))
    await _fail(jobs, 2)
    assert (await jobs.slots(bad))["ejected_until"] is None, "a success in between counts"
    await _fail(jobs, 1)
    slot = await jobs.slots(bad)
    assert (slot["ejected_until"] - jobs.at).total_seconds() == 10
    assert slot["ejection_reason"] == "broken"
    await jobs.serve("good")
    assert await _chosen(jobs) == ("good", "least_used")


async def test_silence_counts_as_a_failure(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve(slots=9)
    for _ in range(3):
        await jobs.create()
        await jobs.later(2)
        await jobs.sweep()
    assert (await jobs.slots(instance))["ejected_until"] is not None


async def test_a_rejection_is_no_failure(jobs: JobDatabase) -> None:
    instance = await jobs.serve(slots=9)
    for _ in range(5):
        await jobs.reject(await jobs.ref(await jobs.create()))
    assert (await jobs.slots(instance))["failures"] == 0


async def test_an_ejected_instance_gets_one_probe(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve("i1", slots=9)
    await _fail(jobs, 3)
    await jobs.later(10)
    probe, waiting = await jobs.create(), await jobs.create()
    assert [await jobs.state(each) for each in (probe, waiting)] == ["offered", "queued"]
    await jobs.fail(await jobs.run(probe))
    slot = await jobs.slots(instance)
    assert (slot["ejected_until"] - jobs.at).total_seconds() == 20, "a failed probe ejects for longer"
    await jobs.later(20)
    await jobs.heartbeat(instance)
    again = await jobs.create()
    await jobs.finish(await jobs.run(again))
    slot = await jobs.slots(instance)
    assert (slot["ejected_until"], slot["ejections"], slot["failures"]) == (None, 0, 0)


async def test_at_most_half_of_a_set_is_ejected(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instances = [await jobs.serve(f"i{number}", slots=9) for number in range(4)]
    for _ in range(40):
        await _fail(jobs, 1)
    ejected = [each.name for each in instances if (await jobs.slots(each))["ejected_until"] is not None]
    assert len(ejected) == 2


async def test_jobs_fail_at_once_while_the_circuit_is_open(jobs: JobDatabase) -> None:
    await jobs.later(0)
    await jobs.serve(slots=9)
    await _fail(jobs, 3)
    job_id = await jobs.create()
    job = await jobs.job(job_id)
    error = json.loads(job["error"])
    assert (job["state"], error["error"], error["retry_after"]) == ("failed", "circuit_open", 10)
    await jobs.serve("i2")
    assert await jobs.state(await jobs.create()) == "offered"


async def test_an_instance_shows_why_it_was_ejected(jobs: JobDatabase) -> None:
    bad = await jobs.serve("bad", slots=5)
    await _fail(jobs, 3)
    found = json.loads(await Instances(jobs.registry.app).find(ORG_1, bad.registration_id) or "{}")
    shown = found["jobs"]
    assert (shown["slots"], shown["used"], shown["breaker"], shown["reason"]) == (5, 0, "open", "broken")
    assert shown["ejected_until"] is not None
    plain = await jobs.register("plain")
    found = json.loads(await Instances(jobs.registry.app).find(ORG_1, plain.registration_id) or "{}")
    assert found["jobs"] is None, "it takes none"
