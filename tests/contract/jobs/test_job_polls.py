"""Polls of instances without a WebSocket: they wait without a connection to the database, and lose no offer."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest
from deadlines import DEADLINE
from servers.live_server import live_server, until
from users.demo_users import HARBOUR

from contract.registry.registry_api import new_agent_id, problem

from .job_transports import HttpTransport, Instance, JobDeployment, JobRefused


@pytest.fixture
async def polls(job_deployment: JobDeployment) -> AsyncIterator[HttpTransport]:
    async with job_deployment.server.http(**{"X-API-Key": job_deployment.key}) as http:
        yield HttpTransport(job_deployment, job_deployment.key, http)


async def _credit(deployment: JobDeployment, instance: Instance) -> int | None:
    query = "select credit from mcp.agent_slots where registration_id = $1"
    credit: int | None = await deployment.owner.fetchval(query, UUID(instance.registration_id))
    return credit


async def test_an_instance_is_offered_nothing_before_it_polls(
    polls: HttpTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent, slots=5)
    job_id = await job_deployment.create(agent)
    assert await job_deployment.state(job_id) == "queued"
    assert [job["job_id"] for job in await polls.claim(instance)] == [job_id]


async def test_a_poll_that_waits_is_woken_and_holds_no_connection(
    polls: HttpTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent)
    polling = asyncio.create_task(polls.claim(instance, wait_seconds=30))
    await until(lambda: _has_credit(job_deployment, instance))
    busy = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'agenthall web' and state <> 'idle'"
    await until(lambda: _is_zero(job_deployment, busy))
    assert not polling.done()
    job_id = await job_deployment.create(agent)
    assert [job["job_id"] for job in await polling] == [job_id]
    assert await _credit(job_deployment, instance) == 0


async def _has_credit(deployment: JobDeployment, instance: Instance) -> bool:
    return bool(await _credit(deployment, instance))


async def _is_zero(deployment: JobDeployment, query: str) -> bool:
    return bool(await deployment.owner.fetchval(query) == 0)


async def _is_one(deployment: JobDeployment, query: str) -> bool:
    return bool(await deployment.owner.fetchval(query) == 1)


async def test_a_poll_without_offers_ends_in_time(polls: HttpTransport, job_deployment: JobDeployment) -> None:
    instance = await polls.register(new_agent_id())
    began = time.monotonic()
    assert await polls.claim(instance, wait_seconds=1.5) == []
    assert time.monotonic() - began >= 1.5
    assert await _credit(job_deployment, instance) == 0


async def test_polls_of_one_instance_get_as_many_jobs_as_they_asked_for_together(
    polls: HttpTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent, slots=8)
    polling = [asyncio.create_task(polls.claim(instance, wait_seconds=30)) for _ in range(3)]
    await until(lambda: _is_credit(job_deployment, instance, 3))
    created = {await job_deployment.create(agent) for _ in range(4)}
    got = [job["job_id"] for jobs in await asyncio.gather(*polling) for job in jobs]
    assert len(got) == len(set(got)) == 3 and set(got) <= created
    states = sorted([await job_deployment.state(each) for each in created])
    assert states == ["offered", "offered", "offered", "queued"]


async def _is_credit(deployment: JobDeployment, instance: Instance, credit: int) -> bool:
    return await _credit(deployment, instance) == credit


async def test_an_offer_whose_answer_was_lost_is_taken_again(
    polls: HttpTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent)
    job_id = await job_deployment.create(agent)
    assert len(await polls.claim(instance)) == 1
    await until(lambda: _is_taken_again(polls, instance, job_id))


async def _is_taken_again(polls: HttpTransport, instance: Instance, job_id: str) -> bool:
    return [job["job_id"] for job in await polls.claim(instance)] == [job_id]


async def test_a_client_that_goes_away_gives_back_what_it_asked_for(
    polls: HttpTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent)
    body = orjson.dumps({"epoch": 1, "wait_seconds": 30})
    reader, writer = await asyncio.open_connection("127.0.0.1", job_deployment.server.port)
    head = (
        f"POST /agents/instances/{instance.registration_id}/jobs/claim HTTP/1.1\r\nhost: localhost\r\n"
        f"x-api-key: {job_deployment.key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    async with asyncio.timeout(DEADLINE):
        await reader.readuntil(b"200 OK")  # the stream has begun
    writer.transport.abort()
    await until(lambda: _is_credit(job_deployment, instance, 0))
    assert await job_deployment.state(await job_deployment.create(agent)) == "queued"


async def test_a_process_that_stops_answers_its_polls(job_deployment: JobDeployment) -> None:
    async with live_server(job_deployment.server.database, workers=0, AUTH_MODE="keys") as server:
        async with server.http(**{"X-API-Key": job_deployment.key}) as http:
            polls = HttpTransport(job_deployment, job_deployment.key, http)
            instance = await polls.register(new_agent_id())
            path = f"/agents/instances/{instance.registration_id}/jobs/claim"
            async with http.stream("POST", path, json={"epoch": 1, "wait_seconds": 30}) as answer:
                server.webs[0].kill(signal.SIGTERM)
                assert orjson.loads(await answer.aread()) == {"jobs": []}
        await server.webs[0].ended()
    await until(lambda: _is_credit(job_deployment, instance, 0))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "epoch"),
        ({"epoch": 1, "wait_seconds": 31}, "wait_seconds"),
        ({"epoch": 1, "wait_seconds": -1}, "wait_seconds"),
        ({"epoch": 1, "max_jobs": 0}, "max_jobs"),
        ({"epoch": 1, "slots": 1}, "slots"),
    ],
)
async def test_a_wrong_poll_names_the_field(polls: HttpTransport, body: Any, field: str) -> None:
    instance = await polls.register(new_agent_id())
    answer = await polls.http.post(f"/agents/instances/{instance.registration_id}/jobs/claim", json=body)
    assert problem(answer) == (422, "invalid", field)


async def test_a_poll_of_an_older_epoch_or_an_ended_registration_is_refused(
    polls: HttpTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    old = await polls.register(agent)
    new = await polls.register(agent)
    with pytest.raises(JobRefused, match="superseded"):
        await polls.claim(old)
    await polls.end("deregister", new)
    with pytest.raises(JobRefused, match="must_register"):
        await polls.claim(new)
    async with job_deployment.server.http(**{"X-API-Key": job_deployment.other_key}) as http:
        stranger = HttpTransport(job_deployment, job_deployment.other_key, http)
        with pytest.raises(JobRefused, match="must_register"):
            await stranger.claim(await polls.register(agent))


async def test_a_key_of_another_agent_may_not_poll_or_report(
    polls: HttpTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent)
    await job_deployment.create(agent)
    job = await polls.offer(instance)
    bound = await job_deployment.issue_key(HARBOUR, agents=("another-agent",))
    async with job_deployment.server.http(**{"X-API-Key": bound}) as http:
        other = HttpTransport(job_deployment, bound, http)
        for call in (other.claim(instance), other.accept(instance, job), other.heartbeat(instance, job)):
            with pytest.raises(JobRefused, match="agent_not_allowed"):
                await call
    await polls.accept(instance, job)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "invalid", "result"),
        ({"result": None, "cancelled": True}, 422, "invalid", "cancelled"),
        ({"result": [1]}, 422, "invalid", "result"),
        ({"error": None}, 422, "invalid", "error"),
        ({"error": {"error": "x"}}, 422, "invalid", "error.message"),
        ({"error": {"error": "x", "message": "y", "stack": "z"}}, 422, "invalid", "error.stack"),
        ({"interrupts": []}, 422, "invalid", "interrupts"),
        ({"cancelled": False}, 422, "invalid", "cancelled"),
        ({"result": None, "through_seq": -1}, 422, "invalid", "through_seq"),
        ({"result": {"a": "b\0"}}, 422, "nul", "result.a"),
    ],
)
async def test_a_wrong_end_names_the_field(
    polls: HttpTransport, job_deployment: JobDeployment, body: Any, status: int, code: str, field: str
) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent)
    job_id = await job_deployment.create(agent)
    await polls.run(instance)
    ref = {"registration_id": instance.registration_id, "epoch": 1, "attempt": 1}
    answer = await polls.http.post(f"/agents/jobs/{job_id}/finish", json={**ref, **body})
    assert problem(answer) == (status, code, field)
    assert await job_deployment.state(job_id) == "running"


async def test_events_that_never_fit_are_413(polls: HttpTransport, job_deployment: JobDeployment) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent)
    job_id = await job_deployment.create(agent)
    await polls.run(instance)
    ref = {"registration_id": instance.registration_id, "epoch": 1, "attempt": 1, "first_seq": 1}
    events = [{"event": "custom", "data": "x" * 300_000}]
    answer = await polls.http.post(f"/agents/jobs/{job_id}/events", json={**ref, "events": events})
    assert problem(answer) == (413, "events_too_large", "events.0.data")


async def test_events_beyond_the_window_are_429(polls: HttpTransport, job_deployment: JobDeployment) -> None:
    agent = new_agent_id()
    instance = await polls.register(agent)
    job_id = await job_deployment.create(agent)
    job = await polls.run(instance)
    async with job_deployment.owner.acquire() as connection, connection.transaction():
        await connection.execute("select from mcp.agent_jobs where id = $1 for update", UUID(job_id))
        first = asyncio.create_task(polls.events(instance, job, 1, *[("token", "x")] * 64))
        waiting = (
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        await until(lambda: _is_one(job_deployment, waiting))
        with pytest.raises(JobRefused, match="window_exceeded"):
            await polls.events(instance, job, 65, ("token", "x"))
    assert await first == 64
    assert await polls.events(instance, job, 65, ("token", "x")) == 65
