"""Jobs of a whole server, which programs with either client work on while parts of it break."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from bots.server_jobs import numbers
from bots.worker_programs import CLIENTS, WorkerProgram, start_worker
from counting_jobs import create_count, options_of
from network.faulty_proxy import WebSocketProxy
from registry_server import RegistryServer
from servers.live_server import until

Start = Callable[..., Awaitable[WorkerProgram]]
COUNT = 40


@pytest.fixture(params=CLIENTS)
async def start(request: pytest.FixtureRequest, server: RegistryServer) -> AsyncIterator[Start]:
    """Starts a program that serves jobs of an agent."""
    started: list[WorkerProgram] = []

    async def start(agent_id: str, **options: Any) -> WorkerProgram:
        started.append(await start_worker(request.param, agent_id, **options_of(server, **options)))
        return started[-1]

    yield start
    for each in started:
        await each.release()


@pytest.fixture
async def database_of(server: RegistryServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.database)
    yield connection
    await connection.close()


@pytest.fixture
def agent_id(request: pytest.FixtureRequest) -> str:
    """An agent of this test alone."""
    return f"{request.node.originalname}-{request.node.callspec.id}".removeprefix("test_")[-120:]


async def test_a_job_is_answered(start: Start, database_of: asyncpg.Connection, agent_id: str) -> None:
    worker = await start(agent_id)
    job = await create_count(database_of, agent_id, seconds=0)
    assert (await job.ended())["state"] == "succeeded" and await job.tokens() == numbers(COUNT)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0


async def test_a_job_survives_a_killed_sockets_process(
    server: RegistryServer, start: Start, database_of: asyncpg.Connection, agent_id: str
) -> None:
    await start(agent_id)
    job = await create_count(database_of, agent_id)
    await job.has_tokens()
    server.sockets.kill()
    server.sockets.popen.wait()
    server.sockets.start()
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], await job.tokens()) == ("succeeded", 1, numbers(COUNT))


async def test_a_job_survives_a_restarted_sockets_process(
    server: RegistryServer, start: Start, database_of: asyncpg.Connection, agent_id: str
) -> None:
    await start(agent_id)
    job = await create_count(database_of, agent_id)
    await job.has_tokens()
    server.sockets.kill(signal.SIGTERM)
    await until(lambda: server.sockets.popen.poll() is not None)
    server.sockets.start()
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], await job.tokens()) == ("succeeded", 1, numbers(COUNT))


async def test_a_job_survives_a_cut_connection(
    start: Start, proxy: WebSocketProxy, database_of: asyncpg.Connection, agent_id: str
) -> None:
    await start(agent_id, url=proxy.url)
    job = await create_count(database_of, agent_id)
    for _ in range(3):
        before = len(await job.tokens())

        async def has_more(before: int = before) -> bool:
            return len(await job.tokens()) > before

        await until(has_more)
        proxy.cut()
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], await job.tokens()) == ("succeeded", 1, numbers(COUNT))


async def test_a_job_survives_a_half_open_connection(
    start: Start, proxy: WebSocketProxy, database_of: asyncpg.Connection, agent_id: str
) -> None:
    await start(agent_id, url=proxy.url)
    job = await create_count(database_of, agent_id)
    await job.has_tokens()
    proxy.freeze()
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], await job.tokens()) == ("succeeded", 1, numbers(COUNT))


async def test_a_job_of_a_killed_instance_goes_to_another(
    start: Start, database_of: asyncpg.Connection, agent_id: str
) -> None:
    first = await start(agent_id)
    job = await create_count(database_of, agent_id, retry="always", held_attempts=1)
    await first.begins(job)
    await job.has_tokens()
    second = await start(agent_id)
    first.signal(signal.SIGKILL)
    await second.begins(job, 2)
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], await job.tokens(2)) == ("succeeded", 2, numbers(COUNT))


async def test_a_newer_process_of_the_same_instance_gets_the_job(
    start: Start, database_of: asyncpg.Connection, agent_id: str
) -> None:
    older = await start(agent_id, instance_id="one")
    job = await create_count(database_of, agent_id, retry="always", held_attempts=1)
    await job.has_tokens()
    newer = await start(agent_id, instance_id="one")
    await older.says("failed Superseded")
    await newer.begins(job, 2)
    assert (await job.ended())["state"] == "succeeded" and await job.tokens(2) == numbers(COUNT)


async def test_a_job_is_finished_by_an_instance_that_drains(
    start: Start, database_of: asyncpg.Connection, agent_id: str
) -> None:
    worker = await start(agent_id)
    job = await create_count(database_of, agent_id)
    await job.has_tokens()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0 and worker.lines[-1] == "closed"
    assert (await job.row())["state"] == "succeeded" and await job.tokens() == numbers(COUNT)


async def test_a_cancelled_job_stops(start: Start, database_of: asyncpg.Connection, agent_id: str) -> None:
    await start(agent_id)
    job = await create_count(database_of, agent_id, tokens=10_000)
    await job.has_tokens()
    await job.cancel()
    assert (await job.ended())["state"] == "cancelled"
    assert (await create_count(database_of, agent_id, seconds=0)).job_id != job.job_id  # the slot is free again
    again = await create_count(database_of, agent_id, seconds=0)
    assert (await again.ended())["state"] == "succeeded"


async def test_as_many_jobs_run_at_a_time_as_there_are_slots_of_a_server(
    start: Start, database_of: asyncpg.Connection, agent_id: str
) -> None:
    worker = await start(agent_id, slots=4)
    jobs = [await create_count(database_of, agent_id, tokens=200, seconds=0.02) for _ in range(4)]
    await asyncio.gather(*(worker.begins(job) for job in jobs))
    assert {(await job.row())["state"] for job in jobs} == {"running"}
    assert [(await job.ended())["state"] for job in jobs] == ["succeeded"] * 4
    assert [await job.tokens() for job in jobs] == [numbers(200)] * 4


async def test_a_run_streams_the_tokens_of_its_job(server: RegistryServer, start: Start, agent_id: str) -> None:
    await start(agent_id)
    client = server.sdk()
    thread = await client.threads.create()
    events = [
        part
        async for part in client.runs.stream(
            thread["thread_id"],
            agent_id,
            input={"messages": [{"role": "user", "content": str(COUNT)}]},
            stream_mode=["messages-tuple", "values"],
        )
    ]
    assert [part.data for part in events if part.event == "error"] == []
    state = await client.threads.get_state(thread["thread_id"])
    assert [each["content"] for each in state["values"]["messages"]] == [str(COUNT), numbers(COUNT)]
