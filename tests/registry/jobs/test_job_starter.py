"""Jobs that the server starts are followed to their end, and cancelled when their run leaves them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from job_database import AGENT, JobDatabase
from network.faulty_proxy import PostgresProxy
from registry_database import ORG_1
from servers.live_server import until

from robyn_server.core.registry.jobs import FollowedJob, JobPolicy, JobState, NewJob
from robyn_server.registry.jobs.follower import JobFollower
from robyn_server.registry.jobs.starter import JobStarter
from robyn_server.registry.jobs.sweeper import JobSweeper
from robyn_server.storage.postgres.notify import Listener, Notifier
from robyn_server.storage.postgres.pools import Role, open_pool
from robyn_server.storage.registry.jobs.assigned import AssignedJobs
from robyn_server.storage.registry.jobs.jobs import JOBS, OFFERS, Jobs


@dataclass(slots=True)
class Engine:
    """The parts of a worker process that start, follow and sweep jobs. `offered`: registrations that were notified."""

    starter: JobStarter
    sweeper: JobSweeper
    follower: JobFollower
    offered: list[str]


@pytest.fixture
async def engine(jobs: JobDatabase) -> AsyncIterator[Engine]:
    url, offered = jobs.registry.url, list[str]()
    notifier, assigned = Notifier(url, "test"), AssignedJobs(jobs.registry.system)
    follower = JobFollower(assigned)
    starter = JobStarter(Jobs(jobs.registry.system), assigned, follower, notifier)
    connected = asyncio.Event()
    listener = Listener(url, "test", {JOBS: follower.wake, OFFERS: offered.append}, connected.set)
    async with contextlib.AsyncExitStack() as closing:
        for service in (notifier, follower, listener):
            service.start()
            closing.push_async_callback(service.stop)
        await asyncio.wait_for(connected.wait(), 30)
        yield Engine(starter, JobSweeper(assigned, starter, notifier), follower, offered)


def _new(**more: object) -> NewJob:
    return NewJob(uuid4(), ORG_1, AGENT, {"input": {"messages": []}}, **more)  # type: ignore[arg-type]


async def _read_to_end(engine: Engine, job: NewJob, updates: list[FollowedJob]) -> None:
    async for update in engine.starter.follow(job):
        updates += [update]


@contextlib.asynccontextmanager
async def _following(engine: Engine, job: NewJob) -> AsyncIterator[tuple[list[FollowedJob], asyncio.Task[None]]]:
    updates = list[FollowedJob]()
    task = asyncio.create_task(_read_to_end(engine, job, updates))
    try:
        yield updates, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _last_state(updates: list[FollowedJob], state: JobState) -> None:
    await until(lambda: bool(updates) and updates[-1].state is state)


@pytest.mark.parametrize("fault", ["is_refusing", "is_dropping_replies"])
async def test_a_job_is_started_when_the_database_is_back(jobs: JobDatabase, engine: Engine, fault: str) -> None:
    await jobs.serve()
    async with PostgresProxy(jobs.registry.url).serving() as proxy:
        pool = await open_pool(proxy.url, Role.SYSTEM, size=1, name="test")
        assigned = AssignedJobs(jobs.registry.system)
        starter = JobStarter(Jobs(pool), assigned, engine.follower, Notifier(jobs.registry.url, "test"))
        setattr(proxy, fault, True)
        if fault == "is_refusing":
            proxy.cut()
        tries = proxy.accepted + 2
        async with _following(replace(engine, starter=starter), _new()) as (updates, task):
            await until(lambda: task.done() or proxy.accepted >= tries)
            assert not task.done()
            setattr(proxy, fault, False)
            await _last_state(updates, JobState.OFFERED)
        await pool.close()


async def test_a_job_is_followed_from_its_offer_to_its_result(jobs: JobDatabase, engine: Engine) -> None:
    instance = await jobs.serve()
    job = _new()
    async with _following(engine, job) as (updates, task):
        await until(lambda: str(instance.registration_id) in engine.offered)
        ref = await jobs.run(job.job_id)
        await _last_state(updates, JobState.RUNNING)
        assert updates[-1].instance_id == "i1"
        for number in range(1, 1201):
            await jobs.append(ref, number, str(number))
        assert await jobs.finish(ref, through_seq=1200, result='{"answer": 42}') == "ok"
        await asyncio.wait_for(task, 60)
    events = [event for update in updates for event in update.events]
    assert [event.seq for event in events] == list(range(1, 1201))
    assert (updates[-1].state, updates[-1].result) == (JobState.SUCCEEDED, {"answer": 42})


async def test_a_second_follower_reads_the_same_job_from_its_beginning(jobs: JobDatabase, engine: Engine) -> None:
    await jobs.serve()
    job = _new()
    async with _following(engine, job) as (updates, _):
        await until(lambda: bool(updates))
        ref = await jobs.run(job.job_id)
        await jobs.append(ref, 1, "a")
        await until(lambda: any(each.events for each in updates))
    assert await jobs.state(job.job_id) == "running", "a worker that goes away leaves the job"
    async with _following(engine, job) as (updates, task):
        await jobs.finish(ref, through_seq=1)
        await asyncio.wait_for(task, 60)
    assert [event.data for update in updates for event in update.events] == ['"a"']
    assert await jobs.registry.owner.fetchval("select count(*) from mcp.agent_jobs") == 1


async def test_a_job_that_was_deleted_has_failed(jobs: JobDatabase, engine: Engine) -> None:
    await jobs.serve()
    job = _new()
    async with _following(engine, job) as (updates, task):
        await until(lambda: bool(updates))
        await jobs.registry.owner.execute("delete from mcp.agent_configurations")
        await asyncio.wait_for(task, 60)
    assert updates[-1].error is not None and updates[-1].error["error"] == "job_deleted"


async def test_an_instance_that_leaves_is_seen_without_a_sweep(jobs: JobDatabase, engine: Engine) -> None:
    instance = await jobs.serve()
    job = _new(policy=JobPolicy(start_within=None))
    async with _following(engine, job) as (updates, _):
        await until(lambda: bool(updates))
        await jobs.run(job.job_id)
        await jobs.end("deregister", instance)
        await _last_state(updates, JobState.QUEUED)
        assert updates[-1].attempt == 2


async def test_the_sweeper_ends_what_nobody_takes(jobs: JobDatabase, engine: Engine) -> None:
    await jobs.register()
    job = _new(policy=JobPolicy(start_within=timedelta(milliseconds=10)))
    async with _following(engine, job) as (updates, task):
        await until(lambda: bool(updates))
        while not task.done():
            await engine.sweeper.sweep()
            await asyncio.wait([task], timeout=0.1)
    assert updates[-1].error is not None and updates[-1].error["error"] == "no_instance"


async def _insert_run(jobs: JobDatabase, status: str) -> UUID:
    run_id, thread_id = uuid4(), uuid4()
    async with jobs.registry.owner.acquire() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(
            "insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, status,"
            " kwargs, ready) values ($1, $2, $3, 1, 'instances', 'test', $4, '{}', $4 = 'pending')",
            *(run_id, thread_id, uuid4(), status),
        )
    return run_id


async def test_only_jobs_whose_run_is_over_are_orphans(jobs: JobDatabase, engine: Engine) -> None:
    await jobs.serve(slots=9)
    over, open_run = await _insert_run(jobs, "error"), await _insert_run(jobs, "pending")
    lost = await jobs.create(run_id=over)
    deleted = await jobs.create(run_id=uuid4())
    kept = [await jobs.create(run_id=open_run), await jobs.create()]
    await engine.sweeper.cancel_orphans()
    assert [await jobs.state(each) for each in (lost, deleted)] == ["cancelled", "cancelled"]
    assert [await jobs.state(each) for each in kept] == ["offered", "offered"]


async def test_a_run_that_is_stopped_cancels_its_jobs(jobs: JobDatabase, engine: Engine) -> None:
    instance = await jobs.serve(slots=9)
    run_id = await _insert_run(jobs, "pending")
    first, second = await jobs.create(run_id=run_id), await jobs.create(run_id=run_id)
    await jobs.run(first)
    await engine.starter.cancel_of_run(run_id, "stopped by the user")
    job = await jobs.job(first)
    assert (job["state"], job["cancel_reason"]) == ("running", "stopped by the user")
    assert await jobs.state(second) == "cancelled"
    await until(lambda: str(instance.registration_id) in engine.offered)
