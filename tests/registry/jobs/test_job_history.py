"""The circuit breaker of an instance and the ends of its jobs are in its history."""

from __future__ import annotations

from typing import Any

from job_database import Instance, JobDatabase
from registry_database import ORG_1

from robyn_server.core.registry.instance_history import InstanceHistory
from robyn_server.storage.registry.instances.history import InstanceHistories


async def _history(jobs: JobDatabase, instance: Instance) -> InstanceHistory:
    found = await InstanceHistories(jobs.registry.app).find(ORG_1, instance.registration_id)
    assert found is not None
    return found


async def _breaker(jobs: JobDatabase, instance: Instance) -> list[tuple[str, Any]]:
    """The entries of the circuit breaker, the oldest first, with their reasons."""
    entries = (await _history(jobs, instance)).entries
    return [(each.kind, each.detail.get("reason")) for each in entries if "breaker" in each.kind][::-1]


async def test_a_breaker_that_opens_is_probed_and_closes_leaves_an_entry_each(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve(slots=9)
    assert await _breaker(jobs, instance) == []
    for _ in range(3):
        await jobs.fail(await jobs.run(await jobs.create()), "no disk")
    assert await _breaker(jobs, instance) == [("breaker_opened", "no disk")]
    await jobs.later(10)
    await jobs.fail(await jobs.run(await jobs.create()), "still no disk")
    await jobs.later(20)
    await jobs.heartbeat(instance)
    await jobs.finish(await jobs.run(await jobs.create()))
    assert await _breaker(jobs, instance) == [
        ("breaker_opened", "no disk"),
        ("breaker_half_open", None),
        ("breaker_opened", "still no disk"),
        ("breaker_half_open", None),
        ("breaker_closed", None),
    ]
    opened = [each.detail for each in (await _history(jobs, instance)).entries if each.kind == "breaker_opened"]
    assert [each["ejections"] for each in opened] == [2, 1]


async def test_probes_that_are_rejected_one_after_the_other_leave_one_entry(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve(slots=9)
    for _ in range(3):
        await jobs.fail(await jobs.run(await jobs.create()))
    await jobs.later(10)
    for _ in range(4):
        await jobs.reject(await jobs.ref(await jobs.create()))
    assert await _breaker(jobs, instance) == [("breaker_opened", "broken"), ("breaker_half_open", None)]


async def test_ends_of_jobs_are_counted_through_all_registrations(jobs: JobDatabase) -> None:
    await jobs.later(0)
    instance = await jobs.serve(slots=9)
    await jobs.finish(await jobs.run(await jobs.create()))
    await jobs.fail(await jobs.run(await jobs.create()))
    rejected = await jobs.create()
    await jobs.reject(await jobs.ref(rejected))
    await jobs.cancel(rejected)
    await jobs.end("deregister", instance)
    assert (await _history(jobs, instance)).breaker is None
    instance = await jobs.serve(slots=9)
    await jobs.finish(await jobs.run(await jobs.create()))
    await jobs.run(await jobs.create())
    history = await _history(jobs, instance)
    assert history.jobs == {"succeeded": 2, "failed": 1, "rejected": 1, "running": 1}
    assert history.breaker is not None and history.breaker["state"] == "closed"
