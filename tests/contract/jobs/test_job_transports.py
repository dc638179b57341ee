"""Jobs behave alike over WebSockets, HTTP and SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from servers.live_server import until
from users.demo_users import HARBOUR, MEADOW

from contract.registry.registry_api import new_agent_id

from .job_transports import ACCEPT_SECONDS, Instance, Job, JobDeployment, JobRefused, Transport, open_transport


@pytest.fixture(params=["websocket", "http", "sql"])
async def transport(request: pytest.FixtureRequest, job_deployment: JobDeployment) -> AsyncIterator[Transport]:
    async with open_transport(request.param, job_deployment, job_deployment.key, HARBOUR) as opened:
        yield opened


@pytest.fixture
async def stranger(transport: Transport, job_deployment: JobDeployment) -> AsyncIterator[Transport]:
    """The same transport, for another organization."""
    async with open_transport(transport.name, job_deployment, job_deployment.other_key, MEADOW) as opened:
        yield opened


async def _refused(awaitable: Any) -> JobRefused:
    with pytest.raises(JobRefused) as caught:
        await awaitable
    return caught.value


async def test_a_job_is_offered_accepted_reported_and_finished(
    transport: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent, slots=2)
    asked = {"input": {"messages": [{"role": "user", "content": "hi"}]}, "config": {"configurable": {"a": 2**70}}}
    thread, run = uuid4(), uuid4()
    job_id = await job_deployment.create(agent, asked, thread_id=thread, run_id=run)
    job = await transport.offer(instance)
    assert (job["job_id"], job["attempt"], str(job["thread_id"]), str(job["run_id"])) == (
        job_id,
        1,
        str(thread),
        str(run),
    )
    if transport.name != "sql":
        assert {name: job[name] for name in ("idempotency_key", "agent_id", "resume", "context", "user")} == {
            "idempotency_key": job_id,
            "agent_id": agent,
            "resume": None,
            "context": {},
            "user": None,
        }
        assert {name: job[name] for name in asked} == asked
        assert (job["stream_mode"], job["deadline"], "traceparent" in job) == ([], None, False)
        assert 0 < job["accept_within_seconds"] <= ACCEPT_SECONDS
    assert (await transport.accept(instance, job))["lease_seconds"] == 30
    assert await job_deployment.state(job_id) == "running"
    assert await transport.events(instance, job, 1, ("token", "Go"), ("custom", {"n": [1, None]})) == 2
    assert await transport.events(instance, job, 3, ("messages", [{"type": "ai", "content": "od"}, {}])) == 3
    await transport.send("finish", instance, job, through_seq=3, result={"messages": []})
    assert await job_deployment.stored_events(job_id) == [
        (1, "token", "Go"),
        (2, "custom", {"n": [1, None]}),
        (3, "messages", [{"type": "ai", "content": "od"}, {}]),
    ]
    stored = await job_deployment.job(job_id)
    assert (stored["state"], orjson.loads(stored["result"]), stored["holds_slot"]) == (
        "succeeded",
        {"messages": []},
        False,
    )


@pytest.mark.parametrize(
    ("end", "state", "column", "value"),
    [
        ({"result": "the answer"}, "succeeded", "result", "the answer"),
        ({"result": None}, "succeeded", "result", None),
        (
            {"error": {"error": "ValueError", "message": "no"}},
            "failed",
            "error",
            {"error": "ValueError", "message": "no"},
        ),
        (
            {"interrupts": [{"value": {"ask": 1}, "id": "x"}]},
            "succeeded",
            "interrupts",
            [{"value": {"ask": 1}, "id": "x"}],
        ),
    ],
)
async def test_a_job_ends_in_each_way(
    transport: Transport, job_deployment: JobDeployment, end: Job, state: str, column: str, value: Any
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent)
    job_id = await job_deployment.create(agent)
    job = await transport.run(instance)
    await transport.send("finish", instance, job, **end)
    stored = await job_deployment.job(job_id)
    assert (stored["state"], stored[column] and orjson.loads(stored[column])) == (state, value)


async def test_a_job_that_is_rejected_goes_to_another_instance(
    transport: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    one = await transport.register(agent, "one")
    job_id = await job_deployment.create(agent)
    job = await transport.offer(one)
    two = await transport.register(agent, "two")
    await transport.send("reject", one, job, reason="busy")
    assert (await transport.offer(two))["job_id"] == job_id
    first, second = await job_deployment.offers(job_id)
    assert (first["outcome"], first["detail"], second["instance_id"]) == ("rejected", "busy", "two")
    assert (await _refused(transport.accept(one, job))).code == "fenced"


async def test_an_instance_that_is_silent_loses_the_offer(transport: Transport, job_deployment: JobDeployment) -> None:
    agent = new_agent_id()
    one = await transport.register(agent, "one")
    job_id = await job_deployment.create(agent, start_within=timedelta(hours=1))
    job = await transport.offer(one)
    two = await transport.register(agent, "two")
    await job_deployment.sweep(ACCEPT_SECONDS + 1)
    await job_deployment.sweep(0)  # by then, no instance was alive
    assert (await job_deployment.offers(job_id))[0]["outcome"] == "silent"
    assert (await _refused(transport.accept(one, job))).code == "fenced"
    assert (await transport.offer(two))["job_id"] == job_id


async def test_repeated_events_are_dropped_and_a_gap_changes_nothing(
    transport: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent)
    job_id = await job_deployment.create(agent)
    job = await transport.run(instance)
    assert await transport.events(instance, job, 1, ("token", "a"), ("token", "b")) == 2
    assert await transport.events(instance, job, 2, ("token", "b"), ("token", "c")) == 3
    assert await transport.events(instance, job, 1, ("token", "a")) == 3
    assert await transport.events(instance, job, 5, ("token", "e")) == 3, "4 is missing"
    assert [data for _, _, data in await job_deployment.stored_events(job_id)] == ["a", "b", "c"]
    refused = await _refused(transport.send("finish", instance, job, through_seq=4, result=None))
    assert (refused.code, refused.field) == ("events_missing", "through_seq")
    await transport.send("finish", instance, job, through_seq=3, result=None)
    assert await job_deployment.state(job_id) == "succeeded"


async def test_a_new_epoch_fences_the_older_unless_it_names_the_job(
    transport: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    old = await transport.register(agent, slots=2)
    kept, dropped = await job_deployment.create(agent), await job_deployment.create(agent)
    jobs = {job["job_id"]: job for job in (await transport.run(old), await transport.run(old))}
    assert await transport.events(old, jobs[kept], 1, ("token", "a")) == 1
    new = await transport.register(agent, slots=2, jobs=[kept])
    assert new.jobs == [{"job_id": kept, "attempt": 1, "applied_through": 1, "cancel": False}]
    for verb, params in (
        ("accept", {}),
        ("events", {"first_seq": 2, "events": [{"event": "token", "data": "b"}]}),
        ("extend", {}),
        ("finish", {"result": None}),
        ("reject", {}),
    ):
        former = {**params, "registration_id": old.registration_id, "epoch": old.epoch}
        for job_id in (kept, dropped):
            assert (await _refused(transport.send(verb, new, jobs[job_id], **former))).code == "fenced", verb
    assert await transport.events(new, jobs[kept], 2, ("token", "b")) == 2
    await transport.send("finish", new, jobs[kept], through_seq=2, result=None)
    assert (await job_deployment.offers(dropped))[0]["outcome"] == "lost"


async def test_a_heartbeat_extends_the_jobs_that_it_names(transport: Transport, job_deployment: JobDeployment) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent, slots=2)
    job_id, other = await job_deployment.create(agent), await job_deployment.create(agent)
    jobs = {job["job_id"]: job for job in (await transport.run(instance), await transport.run(instance))}
    await job_deployment.owner.execute("update mcp.agent_jobs set lease_expires_at = now() where agent_id = $1", agent)
    wrong = {**jobs[other], "attempt": 2}
    answers = await transport.heartbeat(instance, jobs[job_id], wrong)
    assert answers == [
        {"job_id": job_id, "attempt": 1, "outcome": "ok", "cancel": False},
        {"job_id": other, "attempt": 2, "outcome": "fenced", "cancel": False},
    ]
    left = "select lease_expires_at - now() from mcp.agent_jobs where id = $1"
    assert (await job_deployment.owner.fetchval(left, UUID(job_id))).total_seconds() > 20
    assert (await job_deployment.owner.fetchval(left, UUID(other))).total_seconds() < 0
    assert not (await transport.send("extend", instance, jobs[other]))["cancel"]
    assert (await job_deployment.owner.fetchval(left, UUID(other))).total_seconds() > 20


async def test_a_cancelled_job_is_told_and_finished_as_cancelled(
    transport: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent)
    job_id = await job_deployment.create(agent)
    job = await transport.run(instance)
    query = "select outcome from mcp.cancel_agent_job($1, $2, 'not needed', 60)"
    assert await job_deployment.owner.fetchval(query, UUID(HARBOUR), UUID(job_id)) == "requested"
    if instance.socket is not None:
        told = await instance.socket.wait_for_notification("job.cancel")
        assert (told["job_id"], told["attempt"], told["epoch"], told["reason"]) == (job_id, 1, 1, "not needed")
        assert 0 < told["grace_seconds"] <= 60
    assert (await transport.heartbeat(instance, job))[0]["cancel"]
    await transport.send("finish", instance, job, cancelled=True)
    stored = await job_deployment.job(job_id)
    assert (stored["state"], stored["holds_slot"]) == ("cancelled", False)


async def test_a_draining_instance_finishes_its_jobs_and_gets_no_more(
    transport: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent, slots=2)
    await job_deployment.create(agent)
    job = await transport.run(instance)
    await transport.end("drain", instance)
    waiting = await job_deployment.create(agent)
    assert not await transport.has_offer(instance)
    assert await transport.events(instance, job, 1, ("token", "a")) == 1
    assert (await transport.heartbeat(instance, job))[0]["outcome"] == "ok"
    await transport.send("finish", instance, job, through_seq=1, result=None)
    assert await job_deployment.state(waiting) == "queued"


async def test_a_cordoned_instance_finishes_its_jobs_and_gets_no_more(
    transport: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent, slots=2)
    await job_deployment.create(agent)
    job = await transport.run(instance)
    cordon = "select outcome from mcp.cordon_agent_instance($1, $2)"
    assert await job_deployment.owner.fetchval(cordon, UUID(HARBOUR), UUID(instance.registration_id)) == "ok"
    waiting = await job_deployment.create(agent)
    assert not await transport.has_offer(instance)
    assert (await transport.heartbeat(instance, job))[0]["outcome"] == "ok"
    await transport.send("finish", instance, job, result=None)
    assert await job_deployment.state(waiting) == "queued"


@pytest.mark.parametrize("changed", ["attempt", "epoch", "registration_id", "job_id"])
async def test_a_message_that_names_another_one_changes_nothing(
    transport: Transport, job_deployment: JobDeployment, changed: str
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent)
    job_id = await job_deployment.create(agent)
    job = await transport.run(instance)
    before = dict(await job_deployment.job(job_id))
    wrong: dict[str, Any] = {"attempt": 2, "epoch": 5, "registration_id": str(uuid4())}
    ref = {} if changed == "job_id" else {changed: wrong[changed]}
    if changed == "job_id":
        job = {**job, "job_id": str(uuid4())}
    await _ensure_all_fenced(transport, instance, job, ref)
    assert dict(await job_deployment.job(job_id)) == before


async def test_another_organization_changes_nothing(
    transport: Transport, stranger: Transport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent)
    theirs = await stranger.register(agent)
    job_id = await job_deployment.create(agent)
    job = await transport.run(instance)
    before = dict(await job_deployment.job(job_id))
    for ref in ({}, {"registration_id": instance.registration_id, "epoch": instance.epoch}):
        await _ensure_all_fenced(stranger, theirs, job, ref)
    assert dict(await job_deployment.job(job_id)) == before
    assert not await stranger.has_offer(theirs)


async def _ensure_all_fenced(transport: Transport, instance: Instance, job: Job, ref: Job) -> None:
    event = {"event": "token", "data": "x"}
    for verb, params in (
        ("accept", {}),
        ("reject", {"reason": "no"}),
        ("events", {"first_seq": 1, "events": [event]}),
        ("extend", {}),
        ("finish", {"result": None}),
    ):
        refused = await _refused(transport.send(verb, instance, job, **params, **ref))
        assert (refused.code, refused.field) == ("fenced", "job_id"), verb


@pytest.mark.parametrize(
    ("verb", "params", "field"),
    [
        ("events", {"first_seq": 1, "events": [{"event": "shout", "data": 1}]}, "events"),
        ("events", {"first_seq": 0, "events": [{"event": "token", "data": "a"}]}, "first_seq"),
        ("events", {"first_seq": 1, "events": []}, "events"),
        ("reject", {"reason": "x" * 1025}, "reason"),
    ],
)
async def test_a_bad_value_is_named_and_changes_nothing(
    transport: Transport, job_deployment: JobDeployment, verb: str, params: Job, field: str
) -> None:
    agent = new_agent_id()
    instance = await transport.register(agent)
    job_id = await job_deployment.create(agent)
    job = await transport.run(instance)
    refused = await _refused(transport.send(verb, instance, job, **params))
    assert (refused.code, refused.field) == ("invalid", field)
    assert (await job_deployment.state(job_id), await job_deployment.stored_events(job_id)) == ("running", [])


@pytest.mark.parametrize("slots", [-1, 1001])
async def test_slots_out_of_range_are_named(transport: Transport, slots: int) -> None:
    refused = await _refused(transport.register(new_agent_id(), slots=slots))
    assert (refused.code, refused.field) == ("invalid", "slots")


async def test_an_instance_that_leaves_hands_its_jobs_back(transport: Transport, job_deployment: JobDeployment) -> None:
    agent = new_agent_id()
    one = await transport.register(agent, "one")
    job_id = await job_deployment.create(agent)
    job = await transport.run(one)
    two = await transport.register(agent, "two")
    await transport.end("deregister", one)
    again = await transport.offer(two)
    assert (again["job_id"], again["attempt"], (await job_deployment.offers(job_id))[0]["outcome"]) == (
        job_id,
        2,
        "lost",
    )
    if transport.name != "websocket":  # the server closed its socket
        assert (await _refused(transport.send("finish", one, job, result=None))).code == "fenced"


async def test_a_job_waits_until_an_instance_comes(transport: Transport, job_deployment: JobDeployment) -> None:
    agent = new_agent_id()
    first = await transport.register(agent, slots=0)
    job_id = await job_deployment.create(agent)
    assert await job_deployment.state(job_id) == "queued"
    if transport.name == "websocket":  # a poll takes one job, whatever was stated
        assert not await transport.has_offer(first)
    second = await transport.register(agent, "other")
    assert (await transport.offer(second))["job_id"] == job_id
    await until(lambda: _is(job_deployment, job_id, "offered"))


async def _is(job_deployment: JobDeployment, job_id: str, state: str) -> bool:
    return await job_deployment.state(job_id) == state
