"""Deadlines of jobs: silence, leases, cancellation, instances that leave, and the sweep that applies them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from job_database import JobDatabase


async def test_an_offer_without_an_answer_goes_to_another_instance(jobs: JobDatabase) -> None:
    await jobs.later(0)
    await jobs.serve("i1")
    await jobs.serve("i2")
    job_id = await jobs.create()
    first = await jobs.ref(job_id)
    await jobs.later(1.9)
    assert (await jobs.sweep())["changed"] == []
    await jobs.later(0.1)
    assert (await jobs.sweep())["changed"] == [job_id]
    assert (await jobs.ref(job_id)).registration_id != first.registration_id
    assert await jobs.accept(first) == "fenced"


async def test_a_job_whose_lease_expires_is_given_to_another_instance(jobs: JobDatabase) -> None:
    await jobs.later(0)
    one = await jobs.serve("i1")
    ref = await jobs.run(await jobs.create())
    two = await jobs.serve("i2")
    for _ in range(6):
        await jobs.later(5)
        await jobs.heartbeat(one)
        await jobs.heartbeat(two)
    assert list((await jobs.sweep())["changed"]) == [ref.job_id]
    assert (await jobs.ref(ref.job_id)).registration_id == two.registration_id
    assert await jobs.finish(ref) == "fenced"


async def test_events_and_extensions_keep_the_lease(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve()
    ref = await jobs.run(await jobs.create())
    for number in range(1, 9):
        for _ in range(4):
            await jobs.later(5)
            await jobs.heartbeat(instance)
        if number % 2:
            assert await jobs.extend(ref) == ("ok", False)
        else:
            assert (await jobs.append(ref, number // 2, "a"))[0] == "ok"
        assert (await jobs.sweep())["changed"] == []


async def test_draining_does_not_stop_the_extension(jobs: JobDatabase) -> None:
    instance = await jobs.serve(slots=2)
    ref = await jobs.run(await jobs.create())
    assert await jobs.end("drain", instance) == "ok"
    waiting = await jobs.create()
    assert await jobs.state(waiting) == "queued"
    assert await jobs.extend(ref) == ("ok", False)
    assert await jobs.append(ref, 1, "a") == ("ok", 1)
    assert await jobs.finish(ref, through_seq=1) == "ok"


async def test_a_dropped_connection_leaves_three_seconds(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve("i1")
    ref = await jobs.run(await jobs.create())
    await jobs.end("disconnect", instance, 5.0)
    other = await jobs.serve("i2")
    await jobs.later(2.9)
    assert (await jobs.sweep())["changed"] == []
    await jobs.later(0.1)
    assert list((await jobs.sweep())["changed"]) == [ref.job_id]
    assert (await jobs.ref(ref.job_id)).registration_id == other.registration_id


async def test_an_instance_without_a_connection_gets_no_offers(jobs: JobDatabase) -> None:
    instance = await jobs.serve()
    await jobs.end("disconnect", instance, 5.0)
    job_id = await jobs.create()
    assert await jobs.state(job_id) == "queued"
    await jobs.serve()
    assert await jobs.state(job_id) == "offered"


async def test_an_instance_that_leaves_hands_its_jobs_back(jobs: JobDatabase) -> None:
    instance = await jobs.serve("i1", slots=2)
    running, offered = await jobs.create(), await jobs.create()
    await jobs.run(running)
    await jobs.end("deregister", instance)
    assert [await jobs.state(each) for each in (running, offered)] == ["queued", "queued"]
    await jobs.serve("i2", slots=2)
    assert [await jobs.state(each) for each in (running, offered)] == ["offered", "offered"]


async def test_a_job_that_waits_is_cancelled_at_once(jobs: JobDatabase) -> None:
    await jobs.register()
    job_id = await jobs.create()
    assert await jobs.cancel(job_id) == "cancelled"
    assert await jobs.cancel(job_id) == "ended"
    assert (await jobs.job(job_id))["cancel_reason"] == "not needed"


async def test_an_offer_is_cancelled_before_it_is_accepted(jobs: JobDatabase) -> None:
    instance = await jobs.serve()
    ref = await jobs.ref(await jobs.create())
    assert await jobs.cancel(ref.job_id) == "cancelled"
    assert await jobs.accept(ref) == "fenced"
    assert (await jobs.slots(instance))["used"] == 0


async def test_a_running_job_is_asked_to_stop(jobs: JobDatabase) -> None:
    instance = await jobs.serve()
    ref = await jobs.run(await jobs.create())
    assert await jobs.cancel(ref.job_id) == "requested"
    assert await jobs.extend(ref) == ("ok", True)
    told = await jobs.registry.system.fetchrow("select * from mcp.agent_offers($1)", [instance.registration_id])
    assert told is not None and (told["state"], told["cancel_reason"], told["input"]) == ("running", "not needed", None)
    assert await jobs.finish(ref, "cancelled") == "ok"
    assert await jobs.state(ref.job_id) == "cancelled"


async def test_a_cancellation_without_an_answer_is_forced_and_keeps_the_slot(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve()
    ref = await jobs.run(await jobs.create())
    await jobs.cancel(ref.job_id, grace=10)
    await jobs.later(10)
    swept = await jobs.sweep()
    assert (list(swept["changed"]), list(swept["told"])) == ([ref.job_id], [instance.registration_id])
    assert await jobs.state(ref.job_id) == "cancelled"
    assert (await jobs.slots(instance))["used"] == 1
    assert await jobs.finish(ref) == "fenced", "the caller has been told another end"
    assert (await jobs.slots(instance))["used"] == 0


async def test_a_slot_is_freed_at_last_by_the_end_of_the_lease(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve()
    ref = await jobs.run(await jobs.create())
    await jobs.cancel(ref.job_id, grace=1)
    await jobs.later(1)
    await jobs.sweep()
    await jobs.later(29)
    await jobs.sweep()
    assert (await jobs.slots(instance))["used"] == 0
    assert await jobs.state(ref.job_id) == "cancelled"


async def test_a_job_without_an_instance_expires_with_those_that_were_tried(jobs: JobDatabase) -> None:
    await jobs.later(0)
    await jobs.serve()
    job_id = await jobs.create(start_within=timedelta(seconds=30))
    await jobs.reject(await jobs.ref(job_id))
    await jobs.later(30)
    assert list((await jobs.sweep())["changed"]) == [job_id]
    error = json.loads((await jobs.job(job_id))["error"])
    assert (error["error"], error["tried"]) == ("no_instance", ["i1"])


async def test_a_job_that_may_not_wait_fails_at_once(jobs: JobDatabase) -> None:
    await jobs.register()
    job_id = await jobs.create(start_within=timedelta(0))
    assert await jobs.state(job_id) == "expired"
    await jobs.serve()
    ready = await jobs.create(start_within=timedelta(0))
    assert await jobs.state(ready) == "offered"


@pytest.mark.parametrize("started", [False, True])
async def test_a_deadline_ends_a_job_in_every_state(jobs: JobDatabase, started: bool) -> None:
    await jobs.later(0)
    await (jobs.serve() if started else jobs.register())
    job_id = await jobs.create(run_within=timedelta(seconds=20), start_within=None)
    if started:
        await jobs.run(job_id)
    await jobs.later(20)
    assert list((await jobs.sweep())["changed"]) == [job_id]
    job = await jobs.job(job_id)
    assert (job["state"], json.loads(job["error"])["error"]) == ("expired", "deadline_exceeded")


async def test_old_jobs_are_deleted_with_their_events(jobs: JobDatabase) -> None:
    await jobs.serve()
    ref = await jobs.run(await jobs.create())
    await jobs.append(ref, 1, "a")
    await jobs.finish(ref, through_seq=1)
    kept = await jobs.create()
    delete = "select mcp.delete_ended_jobs(now => now() + $1)"
    assert await jobs.registry.system.fetchval(delete, timedelta(hours=23)) == 0
    assert await jobs.registry.system.fetchval(delete, timedelta(hours=25)) == 1
    assert await jobs.events(ref.job_id) == []
    assert await jobs.state(kept) == "offered"
