"""Jobs of the Python client over broken connections, given by a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from agenthall_client import AgentInstance, Job, State, Superseded
from bots.scripted_job_server import GivenJob, KnownInstance, ScriptedJobServer
from deadlines import DEADLINE
from network.faulty_proxy import WebSocketProxy
from servers.live_server import until

Create = Callable[..., AgentInstance]


@pytest.fixture(autouse=True)
async def _deadline() -> object:
    async with asyncio.timeout(DEADLINE):
        yield


async def test_a_job_goes_on_over_a_broken_connection_and_no_event_is_lost_or_repeated(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, instance: Create
) -> None:
    async with instance(url=jobs_proxy.url) as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            for number in range(300):
                await job.emit(f"{number} ")
                if number % 60 == 59:
                    jobs_proxy.cut()
        assert given.tokens == "".join(f"{number} " for number in range(300))
        assert given.end == {"result": None} and me.epoch > 1
        assert jobs_server.requests("agent.register")[-1]["jobs"] == [given.job_id]


@pytest.mark.parametrize("method", ["job.accept", "job.events", "job.finish"])
async def test_a_lost_reply_changes_nothing(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, instance: Create, method: str
) -> None:
    async with instance(url=jobs_proxy.url) as me:
        given = await jobs_server.offer("worker")
        jobs_server.unanswered.add(method)

        async def cut_the_reply() -> None:
            await until(lambda: jobs_server.requests(method))
            jobs_server.unanswered.clear()
            jobs_proxy.cut()

        cutting = asyncio.create_task(cut_the_reply())
        async with await anext(me.jobs()) as job:
            await job.emit("once")
        await cutting
        assert (given.tokens, given.state) == ("once", "ended")


async def test_a_half_open_connection_delays_the_events_and_loses_none(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, instance: Create
) -> None:
    async with instance(url=jobs_proxy.url) as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            jobs_proxy.freeze()
            for number in range(100):
                await job.emit(f"{number} ")
        assert given.tokens == "".join(f"{number} " for number in range(100)) and me.epoch == 2


async def test_a_job_that_does_not_go_on_after_a_broken_connection_is_lost(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, instance: Create
) -> None:
    async with instance(url=jobs_proxy.url) as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            given.state = "lost"
            jobs_proxy.cut()
            await asyncio.Event().wait()
        assert job.cancelled.is_set() and given.end is None
        again = await jobs_server.offer("worker", attempt=2, job_id=given.job_id)
        async with await anext(me.jobs()) as job:
            assert job.attempt == 2
        assert again.end == {"result": None}


async def test_a_job_that_was_cancelled_during_a_broken_connection_stops(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, instance: Create
) -> None:
    async with instance(url=jobs_proxy.url) as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()):
            given.has_cancel = True
            jobs_proxy.cut()
            await asyncio.Event().wait()
        assert given.end == {"cancelled": True}


async def test_an_offer_before_the_answer_to_the_registration_is_kept(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    offers: list[asyncio.Task[GivenJob]] = []

    def offer(known: KnownInstance) -> None:
        offers.append(asyncio.create_task(jobs_server.offer("worker")))

    jobs_server.on_register = offer
    async with instance() as me:
        async with await anext(me.jobs()) as job:
            job.result = "early"
        assert (await offers[0]).end == {"result": "early"}


async def test_a_newer_process_ends_the_jobs_of_the_older_one(jobs_server: ScriptedJobServer, instance: Create) -> None:
    stopped: list[BaseException] = []
    with pytest.raises(Superseded):  # noqa: PT012 - it comes into the body
        async with instance(instance_id="one") as me:
            given = await jobs_server.offer("worker")
            async with await anext(me.jobs()):
                try:
                    async with instance(instance_id="one"):
                        await asyncio.Event().wait()
                except asyncio.CancelledError as error:
                    stopped.append(error)
                    raise
    assert stopped and given.end is None


async def test_a_planned_restart_opens_the_next_connection_before_it_closes_the_first(
    jobs_server: ScriptedJobServer, instance: Create
) -> None:
    async with instance() as me:
        given = await jobs_server.offer("worker")
        emitted = ""
        async with await anext(me.jobs()) as job:
            await jobs_server.restart("worker")
            while me.epoch == 1:
                emitted += "b"
                await job.emit("b")
                await asyncio.sleep(0)
            await job.emit("c")
        assert given.tokens == f"{emitted}c" and given.end == {"result": None}
        assert (jobs_server.overlaps, me.epoch, me.state) == (1, 2, State.ACTIVE)


async def test_a_restart_whose_successor_is_late_is_survived(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, instance: Create
) -> None:
    async with instance(url=jobs_proxy.url) as me:
        given = await jobs_server.offer("worker")
        async with await anext(me.jobs()) as job:
            jobs_proxy.is_refusing = True
            await jobs_server.restart("worker")
            await until(lambda: jobs_proxy.accepted > 2)
            await job.emit("a")
            await until(lambda: given.tokens == "a")  # on the first connection
            await jobs_server.close("worker", 1012)
            await until(lambda: me.state == State.RECONNECTING)
            jobs_proxy.is_refusing = False
            await job.emit("b")
        assert (given.tokens, given.end, me.epoch) == ("ab", {"result": None}, 2)


async def test_a_program_that_ends_at_once_reports_its_result_first(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, instance: Create
) -> None:
    async with instance(url=jobs_proxy.url) as me:
        given = await jobs_server.offer("worker")
        job = await anext(me.jobs())
        await job.begin()
        jobs_proxy.cut()
        finishing = asyncio.create_task(job.finish("bye"))
        await asyncio.sleep(0)
    await finishing
    assert given.end == {"result": "bye"}
    assert [method for method, _ in jobs_server.received][-1] == "agent.deregister"


async def test_an_instance_with_many_jobs_names_all_of_them_in_turn(
    jobs_server: ScriptedJobServer, instance: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenthall_client.jobs.assigned_jobs.MOST_NAMED", 2)

    async def wait(job: Job) -> None:
        await asyncio.Event().wait()

    async with instance(slots=5) as me:
        serving = asyncio.create_task(me.serve(wait))
        given = {(await jobs_server.offer("worker")).job_id for _ in range(5)}

        def named() -> set[str]:
            heartbeats = [params.get("jobs", []) for params in jobs_server.requests("agent.heartbeat")]
            assert max(map(len, heartbeats)) <= 2
            return {each["job_id"] for jobs in heartbeats for each in jobs}

        await until(lambda: jobs_server.requests("agent.heartbeat") and named() == given)
        serving.cancel()
