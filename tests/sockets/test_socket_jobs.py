"""Messages about jobs are answered beside others, in order for each job, and notices about jobs are sent once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from network.websocket_client import WebSocketClient, expect_refused
from servers.live_server import until
from servers.local_socket_server import ALPHA, LocalSocketServer, local_socket_server

from robyn_server.core.errors import TooMany
from robyn_server.core.registry.jobs import ContinuedJob, JobNotice, JobRef, JobState

ONE, TWO = UUID(int=0xC1), UUID(int=0xC2)
EVENTS = {"first_seq": 1, "events": [{"event": "token", "data": "a"}]}


async def _register(socket: WebSocketClient, slots: int = 2, **more: Any) -> dict[str, Any]:
    return dict(await socket.ask("agent.register", agent_id="bot", instance_id="one", slots=slots, **more))


async def _send(socket: WebSocketClient, number: int, method: str, job: UUID, **params: Any) -> None:
    asked = {"job_id": str(job), "attempt": 1, **params}
    await socket.send({"type": 0, "id": number, "method": f"job.{method}", "params": asked})


def _notice(made: dict[str, Any], state: JobState, job_id: UUID = ONE, **more: Any) -> JobNotice:
    ref = JobRef(ALPHA, job_id, 1, UUID(made["registration_id"]), made["epoch"])
    fields = {"input": "{}", "deadline": None, "accept_within": 2.0} | more
    return JobNotice(ref, state, "bot", None, None, **fields)


def _deliver(server: LocalSocketServer, made: dict[str, Any], *notices: JobNotice) -> None:
    server.hub.jobs.deliver([UUID(made["registration_id"])], notices)


async def test_a_message_that_waits_holds_up_its_job_and_nothing_else(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await _register(socket)
        blocked = server.jobs.blocked[ONE] = asyncio.Event()
        await _send(socket, 1, "accept", ONE)
        await _send(socket, 2, "events", ONE, **EVENTS)
        await _send(socket, 3, "finish", ONE, result=None)
        await _send(socket, 4, "accept", TWO)
        assert (await socket.read_response(4))["type"] == 1
        assert await socket.ask("ping") == {"pong": True}
        assert server.jobs.received == [("accept", ONE), ("accept", TWO)]
        blocked.set()
        assert [(await socket.read())["id"] for _ in range(3)] == [1, 2, 3]
        assert server.jobs.received[2:] == [("events", ONE), ("finish", ONE)]


async def test_events_of_one_job_do_not_wait_for_each_other_and_its_end_waits_for_all(
    server: LocalSocketServer,
) -> None:
    async with server.dial() as socket:
        await _register(socket)
        blocked = server.jobs.blocked[ONE] = asyncio.Event()
        for number in (1, 2, 3):
            await _send(socket, number, "events", ONE, **EVENTS)
        await _send(socket, 4, "finish", ONE, result=None)
        await until(lambda: len(server.jobs.received) == 3)
        blocked.set()
        assert {(await socket.read())["id"] for _ in range(3)} == {1, 2, 3}
        assert (await socket.read())["id"] == 4


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("accept", {"job_id": "x"}, "job_id"),
        ("accept", {"attempt": 0}, "attempt"),
        ("accept", {"colour": 1}, "colour"),
        ("events", {"first_seq": 1, "events": [{"event": "shout", "data": 1}]}, "events.0.event"),
        ("events", {"first_seq": 1, "events": [{"event": "token"}]}, "events.0.data"),
        ("events", {"first_seq": 1, "events": [{"event": "token", "data": 1, "id": 2}]}, "events.0.id"),
        ("finish", {"result": 1}, "result"),
        ("finish", {"result": {}, "error": {"error": "a", "message": "b"}}, "error"),
        ("finish", {}, "result"),
        ("reject", {"reason": 1}, "reason"),
    ],
)
async def test_wrong_parameters_are_named_and_reach_nobody(
    server: LocalSocketServer, method: str, params: dict[str, Any], field: str
) -> None:
    async with server.dial() as socket:
        await _register(socket)
        await _send(socket, 1, method, ONE, **params)
        error = (await socket.read_response(1))["error"]
        assert (error["code"], error["data"]["field"]) == (4005, field)
        assert server.jobs.received == []


async def test_a_message_about_a_job_above_the_rate_of_the_slots_is_refused_and_others_are_not() -> None:
    async with local_socket_server(messages_per_second=10) as server, server.dial() as socket:
        await _register(socket, slots=1)
        for number in range(60):  # 20 a second, 40 at once
            await _send(socket, number, "accept", ONE)
        answers = [await socket.read() for _ in range(60)]
        refused = [each for each in answers if each["type"] == 3]
        assert 10 <= len(refused) <= 20
        assert {(each["error"]["code"], each["error"]["data"]["reason"]) for each in refused} == {
            (4002, "rate_limited")
        }
        assert await socket.ask("ping") == {"pong": True}


async def test_messages_about_jobs_that_wait_are_limited(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await _register(socket, slots=2)
        blocked = server.jobs.blocked[ONE] = asyncio.Event()
        for number in range(257):
            await _send(socket, number, "events", ONE, **EVENTS)
        error = (await socket.read_response(256))["error"]
        assert (error["code"], error["data"]["reason"], error["retryable"]) == (4002, "too_many_unanswered", True)
        blocked.set()
        assert {(await socket.read())["id"] for _ in range(256)} == set(range(256))


async def test_a_window_that_is_exceeded_is_told_as_something_to_try_again(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await _register(socket)
        server.jobs.error = TooMany("full", code="window_exceeded", field="events")
        error = await expect_refused(socket.ask("job.events", job_id=str(ONE), attempt=1, **EVENTS))
        assert (error.code, error.reason, error.error["retryable"]) == (4002, "window_exceeded", True)


async def test_an_instance_without_slots_is_answered_in_order(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await socket.ask("agent.register", agent_id="bot")
        blocked = server.jobs.blocked[ONE] = asyncio.Event()
        await _send(socket, 1, "accept", ONE)
        await socket.send({"type": 0, "id": 2, "method": "ping"})
        await until(lambda: server.jobs.received)
        blocked.set()
        assert [(await socket.read())["id"] for _ in range(2)] == [1, 2]


async def test_a_close_waits_for_messages_about_jobs_and_ignores_later_ones() -> None:
    async with local_socket_server() as server, server.dial() as socket:
        await _register(socket)
        blocked = server.jobs.blocked[ONE] = asyncio.Event()
        await _send(socket, 1, "events", ONE, **EVENTS)
        await until(lambda: server.jobs.received)
        stopping = asyncio.create_task(server.socket_server.stop(30))
        await socket.wait_for_notification("server.restarting")
        await until(lambda: all(each.is_closing for each in server.hub))
        await _send(socket, 2, "accept", TWO)
        blocked.set()
        assert (await socket.read_response(1))["result"]["applied_through"] == 1
        assert await socket.close_code() == 1012
        await stopping
        assert server.jobs.received == [("events", ONE)]
        assert server.registry.ended == []


# notices


async def test_an_offer_is_sent_once_while_it_stands(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await _register(socket)
        offer = _notice(made, JobState.OFFERED, input='{"input": {"messages": []}, "mine": 1}')
        _deliver(server, made, offer)
        _deliver(server, made, offer)
        told = await socket.wait_for_notification("job.offer")
        assert (told["registration_id"], told["epoch"]) == (made["registration_id"], made["epoch"])
        assert told["job"] == {
            "job_id": str(ONE), "attempt": 1, "idempotency_key": str(ONE), "agent_id": "bot", "run_id": None,
            "thread_id": None, "input": {"messages": []}, "mine": 1, "resume": None, "config": {}, "context": {},
            "user": None, "stream_mode": [], "deadline": None, "accept_within_seconds": 2.0,
        }  # fmt: skip
        await socket.ask("ping")
        assert socket.notifications == []
        _deliver(server, made)
        _deliver(server, made, offer)
        await socket.wait_for_notification("job.offer")


async def test_a_notice_of_another_epoch_or_registration_is_not_sent(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await _register(socket)
        _deliver(server, made, _notice({**made, "epoch": 7}, JobState.OFFERED))
        _deliver(server, made, _notice({**made, "registration_id": str(UUID(int=5))}, JobState.OFFERED))
        await socket.ask("ping")
        assert socket.notifications == []


async def test_a_running_job_is_told_of_its_cancellation_and_of_its_forced_end(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await _register(socket)
        await socket.ask("job.accept", job_id=str(ONE), attempt=1)
        assert [each.job_id for each in server.hub.jobs.list_running()] == [ONE]
        _deliver(server, made, _notice(made, JobState.RUNNING, cancel_reason="stop", cancel_within=9.5))
        told = await socket.wait_for_notification("job.cancel")
        assert (told["job_id"], told["reason"], told["grace_seconds"]) == (str(ONE), "stop", 9.5)
        _deliver(server, made, _notice(made, JobState.EXPIRED))
        assert "deadline" in (await socket.wait_for_notification("job.lost"))["reason"]
        assert server.hub.jobs.list_running() == []


async def test_a_job_that_ends_here_is_not_told_as_lost(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        made = await _register(socket)
        await socket.ask("job.accept", job_id=str(ONE), attempt=1)
        (ref,) = server.hub.jobs.list_running()
        blocked = server.jobs.blocked[ONE] = asyncio.Event()
        await _send(socket, 1, "finish", ONE, result=None)
        await until(lambda: ("finish", ONE) in server.jobs.received)
        server.hub.jobs.lose(ref, JobState.SUCCEEDED)
        blocked.set()
        assert (await socket.read_response(1))["type"] == 1
        assert socket.notifications == []
        assert made["jobs"] == []


async def test_an_end_that_fails_leaves_the_job_running(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await _register(socket)
        await socket.ask("job.accept", job_id=str(ONE), attempt=1)
        server.jobs.error = OSError("the database is away")
        assert (await expect_refused(socket.ask("job.finish", job_id=str(ONE), attempt=1, result=None))).code == 4003
        assert [each.job_id for each in server.hub.jobs.list_running()] == [ONE]


async def test_jobs_that_go_on_are_named_and_watched(server: LocalSocketServer) -> None:
    server.jobs.continued = [ContinuedJob(ONE, 3, 17, is_cancelled=True)]
    async with server.dial() as socket:
        made = await _register(socket, jobs=[str(ONE), str(TWO)])
        assert made["jobs"] == [{"job_id": str(ONE), "attempt": 3, "applied_through": 17, "cancel": True}]
        assert server.jobs.opened == [(UUID(made["registration_id"]), 2, (ONE, TWO))]
        (ref,) = server.hub.jobs.list_running()
        server.hub.jobs.lose(ref, None)
        assert (await socket.wait_for_notification("job.lost"))["reason"] == "the job was deleted"


async def test_a_heartbeat_extends_the_jobs_that_it_names(server: LocalSocketServer) -> None:
    async with server.dial() as socket:
        await _register(socket)
        named = [{"job_id": str(ONE), "attempt": 1}, {"job_id": str(TWO), "attempt": 2}]
        answer = await socket.ask("agent.heartbeat", jobs=named)
        assert answer["jobs"] == [{**each, "outcome": "ok", "cancel": False} for each in named]
        assert server.jobs.received == [("extend", ONE), ("extend", TWO)]
        error = await expect_refused(socket.ask("agent.heartbeat", jobs=[{"job_id": str(ONE)}]))
        assert (error.code, error.field) == (4005, "jobs.0.attempt")


async def test_a_registration_that_another_socket_takes_over_is_told_nothing_more(server: LocalSocketServer) -> None:
    async with server.dial() as older, server.dial() as newer:
        made = await _register(older)
        await older.ask("job.accept", job_id=str(ONE), attempt=1)
        again = await _register(newer)
        assert await older.close_code() == 4409
        _deliver(server, again, _notice(again, JobState.OFFERED, TWO))
        assert (await newer.wait_for_notification("job.offer"))["epoch"] == made["epoch"] + 1
        assert [each["method"] for each in older.notifications] == ["agent.superseded"]
        assert server.hub.jobs.list_running() == []
