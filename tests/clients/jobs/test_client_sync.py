"""The Python client without asyncio."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from agenthall_client import Closed, Refused, Superseded, sync
from bots.scripted_job_server import ScriptedJobServer
from deadlines import DEADLINE
from registry_server import FAST_TIMING, RegistryServer
from servers.live_server import until


def create(server: Any, agent_id: str = "worker", **options: Any) -> sync.AgentInstance:
    defaults = {"url": server.url, "api_key": "k", "timing": FAST_TIMING, "slots": 1}
    return sync.AgentInstance(agent_id, **{**defaults, **options})


async def in_thread(work: Any, *arguments: Any) -> Any:
    async with asyncio.timeout(DEADLINE):
        return await asyncio.to_thread(work, *arguments)


async def test_an_instance_is_found_and_watched(server: RegistryServer) -> None:
    def work() -> None:
        options: dict[str, Any] = {"url": server.sockets_url, "api_key": server.key, "slots": None}
        with create(server, "blocking", **options) as me, sync.Client(server.sockets_url, api_key=server.key) as client:
            assert (me.epoch, me.state, me.registration.is_new) == (1, "active", True)
            assert [each.registration_id for each in client.discover(agent_id="blocking")] == [me.registration_id]
            assert client.status(me.registration_id).instance_id == me.instance_id
            for event in client.watch(agent_id="blocking"):
                if event.kind == "listed":
                    me.update(zone="eu")
                if event.kind == "updated":
                    break
            me.beat_now()
            me.drain("lunch")
            me.until_draining()
            assert client.list(agent_id="blocking", status="draining")[0].status_reason == "lunch"
            with pytest.raises(Refused):
                client.status("0a000000-0000-4000-8000-000000000000")
        with pytest.raises(Closed):
            me.drain()

    await in_thread(work)


async def test_a_block_of_a_job_reports_its_tokens_and_ends_it(jobs_server: ScriptedJobServer) -> None:
    def work() -> None:
        with create(jobs_server) as me:
            for job in me.jobs():
                with job:
                    job.emit("he")
                    job.emit("llo")
                    if job.messages == []:
                        raise LookupError("nothing")
                    job.result = {"done": True}
                me.drain()

    working = asyncio.ensure_future(in_thread(work))
    given = await jobs_server.offer("worker")
    assert await given.ended() == {"result": {"done": True}} and given.tokens == "hello"
    await working


async def test_the_error_of_a_block_fails_the_job(jobs_server: ScriptedJobServer) -> None:
    def work() -> None:
        with create(jobs_server) as me:
            for job in me.jobs():
                with job:
                    raise LookupError("nothing")
                break

    working = asyncio.ensure_future(in_thread(work))
    given = await jobs_server.offer("worker")
    assert await given.ended() == {"error": {"error": "LookupError", "message": "nothing"}}
    await working


async def test_functions_are_served_in_threads(jobs_server: ScriptedJobServer) -> None:
    def work() -> None:
        with create(jobs_server, slots=2) as me:
            barrier = threading.Barrier(2)

            def meet(job: Any) -> str:
                barrier.wait(DEADLINE)
                return "met"

            me.serve(meet)

    working = asyncio.ensure_future(in_thread(work))
    given = [await jobs_server.offer("worker") for _ in range(2)]
    assert [await each.ended() for each in given] == [{"result": "met"}] * 2
    await jobs_server.notify(jobs_server.instance("worker"), "agent.draining", message="by an operator")
    await working


async def test_a_final_error_is_raised_by_the_call_that_waits(jobs_server: ScriptedJobServer) -> None:
    def work() -> None:
        with create(jobs_server, instance_id="one") as me:
            list(me.jobs())

    working = asyncio.ensure_future(in_thread(work))
    await jobs_server.has_slots("worker")
    await in_thread(_supersede, jobs_server)
    with pytest.raises(Superseded):
        await working


def _supersede(jobs_server: ScriptedJobServer) -> None:
    with create(jobs_server, instance_id="one"):
        pass


async def test_a_final_error_is_raised_at_the_end_of_the_block(jobs_server: ScriptedJobServer) -> None:
    def work() -> None:
        with create(jobs_server, instance_id="one") as me:
            _supersede(jobs_server)
            while me.state != "failed":
                pass

    with pytest.raises(Superseded):
        await in_thread(work)


async def test_the_error_of_the_body_is_raised_and_ends_the_instance(jobs_server: ScriptedJobServer) -> None:
    def work() -> None:
        with create(jobs_server):
            raise LookupError

    with pytest.raises(LookupError):
        await in_thread(work)
    await until(lambda: jobs_server.requests("agent.deregister"))
    assert jobs_server.requests("agent.deregister")[0]["reason"] == "ended by LookupError"


async def test_a_client_that_cannot_connect_raises_and_leaves_no_thread(jobs_server: ScriptedJobServer) -> None:
    def work() -> None:
        with pytest.raises(ValueError, match="ftp"), create(jobs_server, url="ftp://here"):
            pass

    await in_thread(work)
    assert not [each for each in threading.enumerate() if each.name == "agenthall"]
