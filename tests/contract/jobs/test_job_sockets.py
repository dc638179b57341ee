"""Jobs over WebSockets: closes, restarts, windows and large messages."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from network.websocket_client import WebSocketClient
from servers.live_server import until
from servers.sockets_process import SocketsProcess
from users.demo_users import HARBOUR

from contract.registry.registry_api import new_agent_id

from .job_transports import Instance, Job, JobDeployment, WebSocketTransport

CANCEL = "select outcome from mcp.cancel_agent_job($1, $2, 'not needed', $3)"


@pytest.fixture
async def sockets(job_deployment: JobDeployment) -> AsyncIterator[WebSocketTransport]:
    async with contextlib.AsyncExitStack() as stack:
        yield WebSocketTransport(job_deployment, job_deployment.key, stack)


def _socket(instance: Instance) -> WebSocketClient:
    assert instance.socket is not None
    return instance.socket


async def _lease_seconds(deployment: JobDeployment, job_id: str) -> float:
    query = "select extract(epoch from lease_expires_at - clock_timestamp())::float8 from mcp.agent_jobs where id = $1"
    return float(await deployment.owner.fetchval(query, UUID(job_id)) or 0)


async def test_a_goodbye_hands_the_jobs_to_another_instance_at_once(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    one = await sockets.register(agent, "one")
    job_id = await job_deployment.create(agent)
    await sockets.run(one)
    two = await sockets.register(agent, "two")
    await _socket(one).close()
    job = await sockets.offer(two)  # nothing sweeps here
    assert (job["job_id"], job["attempt"]) == (job_id, 2)


async def test_a_dropped_socket_shortens_leases_and_a_return_keeps_the_jobs(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    one = await sockets.register(agent)
    job_id = await job_deployment.create(agent)
    job = await sockets.run(one)
    assert await sockets.events(one, job, 1, ("token", "a"), ("token", "b")) == 2
    assert await _lease_seconds(job_deployment, job_id) > 20
    _socket(one).abort()
    await until(lambda: _is_short(job_deployment, job_id))
    assert await job_deployment.state(job_id) == "running"
    again = await sockets.register(agent, jobs=[job_id])
    assert again.jobs == [{"job_id": job_id, "attempt": 1, "applied_through": 2, "cancel": False}]
    assert await _lease_seconds(job_deployment, job_id) > 20
    assert await sockets.events(again, job, 2, ("token", "b"), ("token", "c")) == 3
    await sockets.send("finish", again, job, through_seq=3, result=None)
    assert [data for _, _, data in await job_deployment.stored_events(job_id)] == ["a", "b", "c"]


async def _is_short(deployment: JobDeployment, job_id: str) -> bool:
    return await _lease_seconds(deployment, job_id) <= 3


async def test_a_second_socket_takes_the_jobs_over_before_the_first_is_closed(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    one = await sockets.register(agent)
    job_id = await job_deployment.create(agent)
    job = await sockets.run(one)
    two = await sockets.register(agent, jobs=[job_id])
    await _socket(one).wait_for_notification("agent.superseded")
    assert await _socket(one).close_code() == 4409
    assert await sockets.events(two, job, 1, ("token", "a")) == 1
    await sockets.send("finish", two, job, through_seq=1, result=None)
    assert await job_deployment.state(job_id) == "succeeded"
    assert not [each for each in _socket(one).notifications if each["method"] == "job.lost"]


async def test_offers_come_after_the_reply_that_tells_the_epoch(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    await sockets.register(agent, "first", slots=0)
    await job_deployment.create(agent)
    socket = await sockets.dial()
    params = {"agent_id": agent, "instance_id": "second", "slots": 1}
    await socket.send(
        {
            "type": 6,
            "id": "b",
            "messages": [
                {"type": 0, "id": 1, "method": "agent.register", "params": params},
                {"type": 0, "id": 2, "method": "agent.discover"},
            ],
        }
    )
    assert (await socket.read())["type"] == 6
    assert (await socket.wait_for_notification("job.offer"))["epoch"] == 1


async def test_a_lease_that_ends_is_told_and_the_job_is_offered_to_another(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    one = await sockets.register(agent, "one")
    job_id = await job_deployment.create(agent)
    await sockets.run(one)
    two = await sockets.register(agent, "two")
    await job_deployment.owner.execute("update mcp.agent_jobs set lease_expires_at = now() where id = $1", UUID(job_id))
    await job_deployment.sweep(0)
    told = await _socket(one).wait_for_notification("job.lost")
    assert (told["job_id"], told["attempt"], told["epoch"], told["reason"]) == (job_id, 1, 1, "its lease ended")
    assert (await sockets.offer(two))["attempt"] == 2


async def test_a_job_that_is_not_stopped_in_time_is_told_as_lost(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await sockets.register(agent)
    job_id = await job_deployment.create(agent)
    job = await sockets.run(instance)
    await job_deployment.owner.execute(CANCEL, UUID(HARBOUR), UUID(job_id), 0.0)
    assert (await _socket(instance).wait_for_notification("job.cancel"))["grace_seconds"] == 0
    await job_deployment.sweep(1)
    assert "cancelled" in (await _socket(instance).wait_for_notification("job.lost"))["reason"]
    stored = await job_deployment.job(job_id)
    assert (stored["state"], stored["holds_slot"]) == ("cancelled", True)
    await _fenced(sockets.send("reject", instance, job))
    assert not (await job_deployment.job(job_id))["holds_slot"], "its answer frees the slot"
    assert not [each for each in _socket(instance).notifications if each["method"] == "job.lost"], "it is told once"


async def _fenced(awaitable: Any) -> None:
    with pytest.raises(Exception, match="fenced"):
        await awaitable


async def test_messages_about_one_job_may_be_sent_without_waiting(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await sockets.register(agent)
    job_id = await job_deployment.create(agent)
    job = await sockets.offer(instance)
    ref = {"job_id": job["job_id"], "attempt": 1}
    event = {"event": "token", "data": "x"}
    messages: list[tuple[str, Job]] = [
        ("job.accept", {}),
        *(("job.events", {"first_seq": 1 + 2 * number, "events": [event, event]}) for number in range(10)),
        ("job.finish", {"through_seq": 20, "result": "done"}),
    ]
    for number, (method, params) in enumerate(messages):
        await _socket(instance).send({"type": 0, "id": number, "method": method, "params": {**ref, **params}})
    answers = {answer["id"]: answer for answer in [await _socket(instance).read() for _ in messages]}
    assert [answers[number]["type"] for number in range(len(messages))] == [1] * len(messages), answers
    assert len(await job_deployment.stored_events(job_id)) == 20
    assert await job_deployment.state(job_id) == "succeeded"


async def test_events_beyond_the_window_are_refused_and_not_buffered(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await sockets.register(agent)
    job_id = await job_deployment.create(agent)
    job = await sockets.run(instance)
    socket, event = _socket(instance), {"event": "token", "data": "x"}
    ref = {"job_id": job_id, "attempt": job["attempt"]}
    async with job_deployment.owner.acquire() as connection, connection.transaction():
        await connection.execute("select from mcp.agent_jobs where id = $1 for update", UUID(job_id))
        for number, first_seq in enumerate((1, 33, 65)):  # 32 events each: the third is too much
            params = {**ref, "first_seq": first_seq, "events": [event] * 32}
            await socket.send({"type": 0, "id": number, "method": "job.events", "params": params})
        refused = await socket.read_response(2)
        assert (refused["error"]["code"], refused["error"]["data"]["reason"]) == (4002, "window_exceeded")
        assert refused["error"]["retryable"]
        assert await socket.ask("ping") == {"pong": True}, "other messages are answered meanwhile"
    answers = {answer["id"]: answer for answer in [await socket.read(), await socket.read()]}
    assert max(answer["result"]["applied_through"] for answer in answers.values()) == 64
    assert await sockets.events(instance, job, 65, *[("token", "x")] * 32) == 96


async def test_messages_about_jobs_may_be_large_and_others_may_not(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await sockets.register(agent)
    job_id = await job_deployment.create(agent)
    job = await sockets.run(instance)
    socket = _socket(instance)
    await socket.send({"type": 0, "id": 1, "method": "agent.update", "params": {"zone": "x" * 70_000}})
    answer = await socket.read_response(1)
    assert (answer["error"]["code"], answer["error"]["data"]["reason"]) == (4000, "message_too_large")
    result = {"messages": [{"role": "ai", "content": "x" * 500_000}]}
    await sockets.send("finish", instance, job, result=result)
    assert orjson.loads((await job_deployment.job(job_id))["result"]) == result
    plain = await sockets.dial()
    await plain.ask("agent.register", agent_id=agent, instance_id="without slots")
    await plain.send({"type": 0, "id": 1, "method": "job.finish", "params": {"result": "x" * 70_000}})
    assert await plain.close_code() == 1009


@pytest.mark.parametrize(
    ("events", "field"),
    [
        ([{"event": "custom", "data": "x" * 300_000}], "events.0.data"),
        ([{"event": "custom", "data": "x" * 150_000}] * 2, "events"),
        ([{"event": "token", "data": "x"}] * 65, "events"),
        ([{"event": "token", "data": "x"}, {"event": "shout", "data": "x"}], "events.1.event"),
    ],
)
async def test_events_that_never_fit_name_the_field(
    sockets: WebSocketTransport, job_deployment: JobDeployment, events: list[Job], field: str
) -> None:
    agent = new_agent_id()
    instance = await sockets.register(agent)
    job_id = await job_deployment.create(agent)
    job = await sockets.run(instance)
    params = {"job_id": job_id, "attempt": job["attempt"], "first_seq": 1, "events": events}
    await _socket(instance).send({"type": 0, "id": 1, "method": "job.events", "params": params})
    error = (await _socket(instance).read_response(1))["error"]
    assert (error["code"], error["data"]["field"]) == (4005, field)
    assert await job_deployment.stored_events(job_id) == []


async def test_a_job_that_no_message_can_hold_is_rejected_for_the_instance(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await sockets.register(agent)
    job_id = await job_deployment.create(agent, {"input": {"text": "x" * 1_100_000}})
    await until(lambda: _offer_outcome(job_deployment, job_id))
    (offer,) = await job_deployment.offers(job_id)
    assert (offer["outcome"], "larger than" in offer["detail"]) == ("rejected", True)
    assert await job_deployment.state(job_id) == "queued"
    small = await job_deployment.create(agent)
    assert (await sockets.offer(instance))["job_id"] == small


async def _offer_outcome(deployment: JobDeployment, job_id: str) -> Any:
    offers = await deployment.offers(job_id)
    return offers and offers[0]["outcome"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"slots": 1.5}, "slots"),
        ({"slots": "1"}, "slots"),
        ({"jobs": ["x"], "slots": 1}, "jobs.0"),
        ({"jobs": ["00000000-0000-0000-0000-00000000000c"]}, "slots"),
    ],
)
async def test_a_registration_with_wrong_slots_or_jobs_makes_nothing(
    sockets: WebSocketTransport, job_deployment: JobDeployment, params: Job, field: str
) -> None:
    agent, socket = new_agent_id(), await sockets.dial()
    await socket.send({"type": 0, "id": 1, "method": "agent.register", "params": {"agent_id": agent, **params}})
    error = (await socket.read_response(1))["error"]
    assert (error["code"], error["data"]["field"]) == (4005, field)
    query = "select count(*) from mcp.agent_instances where agent_id = $1"
    assert await job_deployment.owner.fetchval(query, agent) == 0


async def test_a_registration_without_slots_takes_no_jobs(
    sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent, socket = new_agent_id(), await sockets.dial()
    assert "jobs" not in await socket.ask("agent.register", agent_id=agent)
    assert await job_deployment.state(await job_deployment.create(agent)) == "queued"
    assert "jobs" not in await socket.ask("agent.heartbeat")


async def test_a_restart_of_the_process_acknowledges_what_it_has_read_and_keeps_the_leases(
    job_deployment: JobDeployment, tmp_path: Path
) -> None:
    process = SocketsProcess(job_deployment.server.environment, tmp_path / "restarting.log")
    try:
        await process.ready()
        async with contextlib.AsyncExitStack() as stack:
            there = WebSocketTransport(job_deployment, job_deployment.key, stack)
            there.url = process.url
            agent = new_agent_id()
            instance = await there.register(agent)
            job_id = await job_deployment.create(agent)
            await there.run(instance)
            socket, ref = _socket(instance), {"job_id": job_id, "attempt": 1}
            async with job_deployment.owner.acquire() as connection, connection.transaction():
                await connection.execute("select from mcp.agent_jobs where id = $1 for update", UUID(job_id))
                event = {"event": "token", "data": "a"}
                params = {**ref, "first_seq": 1, "events": [event]}
                await socket.send({"type": 0, "id": 1, "method": "job.events", "params": params})
                assert await socket.ask("ping") == {"pong": True}
                process.kill(signal.SIGTERM)
                await socket.wait_for_notification("server.restarting")
            assert (await socket.read_response(1))["result"]["applied_through"] == 1
            assert await socket.close_code() == 1012
        assert await process.ended() == 0
        assert await _lease_seconds(job_deployment, job_id) > 10
        assert await job_deployment.state(job_id) == "running"
    finally:
        process.kill()
        await asyncio.to_thread(process.popen.wait)
