"""Jobs of the TypeScript client over broken connections, given by a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from bots.scripted_job_server import GivenJob, KnownInstance, ScriptedJobServer
from deadlines import DEADLINE
from network.faulty_proxy import WebSocketProxy
from node_client import NodeClient
from servers.live_server import until

Start = Callable[..., Awaitable[NodeClient]]
NUMBERS = "".join(f"{number} " for number in range(300))


@pytest.fixture(autouse=True)
async def _deadline() -> AsyncIterator[None]:
    async with asyncio.timeout(DEADLINE):
        yield


async def test_a_job_goes_on_over_a_broken_connection_and_no_event_is_lost_or_repeated(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, worker: Start
) -> None:
    me = await worker(url=jobs_proxy.url)
    given = await jobs_server.offer("worker")
    job = await me.take()
    for number in range(300):
        await job.call("emit", f"{number} ")
        if number % 60 == 59:
            jobs_proxy.cut()
    await job.call("finish")
    assert (given.tokens, given.end) == (NUMBERS, {"result": None}) and await me.call("epoch") > 1
    assert jobs_server.requests("agent.register")[-1]["jobs"] == [given.job_id]


@pytest.mark.parametrize("method", ["job.accept", "job.events", "job.finish"])
async def test_a_lost_reply_changes_nothing(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, worker: Start, method: str
) -> None:
    me = await worker(url=jobs_proxy.url)
    jobs_server.unanswered.add(method)
    given = await jobs_server.offer("worker")
    me.serve("tokens")
    await until(lambda: jobs_server.requests(method))
    jobs_server.unanswered.clear()
    jobs_proxy.cut()
    await given.reached("ended")
    await me.reached(2)
    assert given.tokens == "hello"


async def test_a_half_open_connection_delays_the_events_and_loses_none(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, worker: Start
) -> None:
    me = await worker(url=jobs_proxy.url)
    given = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    jobs_proxy.freeze()
    await asyncio.gather(*(job.begin("emit", f"{number} ") for number in range(300)))
    await job.call("finish")
    assert given.tokens == NUMBERS and await me.call("epoch") == 2


async def test_a_job_that_does_not_go_on_after_a_broken_connection_is_lost(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, worker: Start
) -> None:
    me = await worker(url=jobs_proxy.url)
    given = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    given.state = "lost"
    jobs_proxy.cut()
    assert await job.stopped() == "JobLost" and given.end is None
    again = await jobs_server.offer("worker", attempt=2, job_id=given.job_id)
    job = await me.take()
    await job.call("finish")
    assert job.request["attempt"] == 2 and again.end == {"result": None}


async def test_a_job_that_was_cancelled_during_a_broken_connection_stops(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, worker: Start
) -> None:
    me = await worker(url=jobs_proxy.url)
    me.serve("patient")
    given = await jobs_server.offer("worker")
    await until(lambda: given.tokens == "a")
    given.has_cancel = True
    jobs_proxy.cut()
    assert await given.ended() == {"cancelled": True}


async def test_an_offer_before_the_answer_to_the_registration_is_kept(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    offers: list[asyncio.Task[GivenJob]] = []

    def offer(known: KnownInstance) -> None:
        offers.append(asyncio.create_task(jobs_server.offer("worker")))

    jobs_server.on_register = offer
    me = await worker()
    await (await me.take()).call("finish", "early")
    assert (await offers[0]).end == {"result": "early"}


async def test_a_newer_process_ends_the_jobs_of_the_older_one(jobs_server: ScriptedJobServer, worker: Start) -> None:
    older = await worker(instanceId="one")
    given = await jobs_server.offer("worker")
    job = await older.take()
    await job.call("begin")
    newer = await worker(instanceId="one")
    assert (await older.ended(), await job.stopped()) == ("Superseded", "JobLost")
    assert given.end is None and await newer.call("state") == "active"


async def test_a_planned_restart_opens_the_next_connection_before_it_closes_the_first(
    jobs_server: ScriptedJobServer, worker: Start
) -> None:
    me = await worker()
    given = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    await jobs_server.restart("worker")
    emitted = 0
    while await me.call("epoch") == 1:
        await job.call("emit", "b")
        emitted += 1
    await job.call("emit", "c")
    await job.call("finish")
    assert (given.tokens, given.end) == ("b" * emitted + "c", {"result": None})
    assert (jobs_server.overlaps, await me.call("epoch"), await me.call("state")) == (1, 2, "active")


async def test_a_restart_whose_successor_is_late_is_survived(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, worker: Start
) -> None:
    me = await worker(url=jobs_proxy.url)
    given = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    jobs_proxy.is_refusing = True
    await jobs_server.restart("worker")
    await until(lambda: jobs_proxy.accepted > 2)
    await job.call("emit", "a")
    await until(lambda: given.tokens == "a")  # on the first connection
    await jobs_server.close("worker", 1012)
    await me.in_state("reconnecting")
    jobs_proxy.is_refusing = False
    await job.call("emit", "b")
    await job.call("finish")
    assert (given.tokens, given.end, await me.call("epoch")) == ("ab", {"result": None}, 2)


async def test_a_program_that_ends_at_once_reports_its_result_first(
    jobs_server: ScriptedJobServer, jobs_proxy: WebSocketProxy, worker: Start
) -> None:
    me = await worker(url=jobs_proxy.url)
    given = await jobs_server.offer("worker")
    job = await me.take()
    await job.call("begin")
    jobs_proxy.cut()
    finishing = job.begin("finish", "bye")
    await me.call("close")
    await finishing
    assert given.end == {"result": "bye"}
    assert [method for method, _ in jobs_server.received][-1] == "agent.deregister"
