"""Operators list, look at and cancel the jobs of their organization."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from users.demo_users import HARBOUR

from contract.registry.registry_api import new_agent_id, problem

from .job_transports import Instance, Job, JobDeployment, WebSocketTransport

JOBS = "/agents/jobs"


@pytest.fixture
async def operator(job_deployment: JobDeployment) -> AsyncIterator[httpx.AsyncClient]:
    async with job_deployment.server.http(**{"X-API-Key": job_deployment.key}) as http:
        yield http


@pytest.fixture
async def sockets(job_deployment: JobDeployment) -> AsyncIterator[WebSocketTransport]:
    async with contextlib.AsyncExitStack() as stack:
        yield WebSocketTransport(job_deployment, job_deployment.key, stack)


async def _ids(http: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await http.get(JOBS, params=params)
    assert answer.status_code == 200, answer.text
    return [job["job_id"] for job in answer.json()["jobs"]]


async def test_a_job_is_shown_with_its_offers_and_without_what_users_wrote(
    operator: httpx.AsyncClient, sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    one = await sockets.register(agent, "one")
    job_id = await job_deployment.create(agent, {"input": {"messages": ["private"]}}, thread_id=uuid4())
    job = await sockets.offer(one)
    two = await sockets.register(agent, "two")
    await sockets.send("reject", one, job, reason="busy")
    again = await sockets.run(two)
    await sockets.events(two, again, 1, ("token", "private"))
    answer = await operator.get(f"{JOBS}/{job_id}")
    shown = answer.json()
    assert "private" not in answer.text
    assert {name: shown[name] for name in ("job_id", "agent_id", "state", "attempt", "instance_id", "events", "epoch")} == {
        "job_id": job_id, "agent_id": agent, "state": "running", "attempt": 1, "instance_id": "two", "events": 1, "epoch": 1,
    }  # fmt: skip
    offers = [(each["instance_id"], each["outcome"], each["detail"]) for each in shown["offers"]]
    assert offers == [("one", "rejected", "busy"), ("two", None, None)]
    assert shown["offers"][1]["accepted_at"] and shown["offers"][0]["chosen_by"] == "least_used"
    (listed,) = (await operator.get(JOBS, params={"agent_id": agent})).json()["jobs"]
    assert listed == {name: value for name, value in shown.items() if name != "offers"}


async def test_jobs_are_listed_by_agent_state_thread_and_run(
    operator: httpx.AsyncClient, sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent, thread, run = new_agent_id(), uuid4(), uuid4()
    instance = await sockets.register(agent, slots=4)
    done = await job_deployment.create(agent, thread_id=thread)
    await sockets.send("finish", instance, await sockets.run(instance), result=None)
    failed = await job_deployment.create(agent, run_id=run)
    error = {"error": "ValueError", "message": "no"}
    await sockets.send("finish", instance, await sockets.run(instance), error=error)
    running = await job_deployment.create(agent, thread_id=thread, run_id=run)
    await sockets.run(instance)
    await sockets.end("drain", instance)
    queued = await job_deployment.create(agent)
    newest_first = [queued, running, failed, done]
    assert await _ids(operator, agent_id=agent) == newest_first
    for state, job_id in (("queued", queued), ("running", running), ("failed", failed), ("succeeded", done)):
        assert await _ids(operator, agent_id=agent, state=state) == [job_id], state
        assert job_id in await _ids(operator, state=state)
    assert await _ids(operator, thread_id=str(thread)) == [running, done]
    assert await _ids(operator, run_id=str(run)) == [running, failed]
    assert await _ids(operator, run_id=str(run), state="failed") == [failed]
    assert await _ids(operator, thread_id=str(thread), run_id=str(run), agent_id=agent) == [running]
    assert await _ids(operator, agent_id="no-such-agent") == []


async def test_jobs_are_listed_by_the_instance_that_has_them_or_had_them_last(
    operator: httpx.AsyncClient, sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent, thread = new_agent_id(), uuid4()
    one = await sockets.register(agent, "one", slots=4)
    done = await job_deployment.create(agent, thread_id=thread)
    await sockets.send("finish", one, await sockets.run(one), result=None)
    failed = await job_deployment.create(agent)
    await sockets.send("finish", one, await sockets.run(one), error={"error": "ValueError", "message": "no"})
    running = await job_deployment.create(agent, thread_id=thread)
    await sockets.run(one)
    two = await sockets.register(agent, "two")
    await sockets.end("drain", one)
    moved = await job_deployment.create(agent)
    await sockets.run(two)
    ids = {"registration_id": one.registration_id}
    assert await _ids(operator, **ids) == [running, failed, done]
    assert await _ids(operator, registration_id=two.registration_id) == [moved]
    for state, job_ids in (("running", [running]), ("failed", [failed]), ("succeeded", [done]), ("queued", [])):
        assert await _ids(operator, **ids, state=state) == job_ids, state
    assert await _ids(operator, **ids, thread_id=str(thread)) == [running, done]
    assert await _ids(operator, registration_id=two.registration_id, thread_id=str(thread)) == []
    assert await _ids(operator, registration_id=str(uuid4())) == []
    first = (await operator.get(JOBS, params=ids | {"limit": 2})).json()
    second = (await operator.get(JOBS, params=ids | {"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [[job["job_id"] for job in page["jobs"]] for page in (first, second)] == [[running, failed], [done]]
    assert second["next_cursor"] is None


async def test_pages_lead_through_all_jobs(operator: httpx.AsyncClient, job_deployment: JobDeployment) -> None:
    agent = new_agent_id()
    await operator.put(f"/agents/configurations/{agent}", json={})
    created = [await job_deployment.create(agent) for _ in range(5)]
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        params = {"agent_id": agent, "limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = (await operator.get(JOBS, params=params)).json()
        found += [job["job_id"] for job in page["jobs"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (found, pages) == (created[::-1], 3)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"state": "asleep"}, "state"),
        ({"thread_id": "x"}, "thread_id"),
        ({"run_id": "x"}, "run_id"),
        ({"registration_id": "x"}, "registration_id"),
        ({"registration_id": str(UUID(int=1)), "agent_id": "x"}, "agent_id"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": f"99999999999999999999.{UUID(int=1)}"}, "cursor"),
        ({"limit": "101"}, "limit"),
        ({"agent": "x"}, "agent"),
    ],
)
async def test_a_wrong_filter_is_named(operator: httpx.AsyncClient, params: dict[str, str], field: str) -> None:
    answer = await operator.get(JOBS, params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_jobs_of_other_organizations_are_not_found(
    operator: httpx.AsyncClient, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    await operator.put(f"/agents/configurations/{agent}", json={})
    job_id = await job_deployment.create(agent)
    async with job_deployment.server.http(**{"X-API-Key": job_deployment.other_key}) as stranger:
        assert problem(await stranger.get(f"{JOBS}/{job_id}")) == (404, "not_found", "job_id")
        assert problem(await stranger.post(f"{JOBS}/{job_id}/cancel", json={})) == (404, "not_found", "job_id")
        assert job_id not in await _ids(stranger)
    for unknown in (uuid4(), "x"):
        assert (await operator.get(f"{JOBS}/{unknown}")).status_code == 404
    assert await job_deployment.state(job_id) == "queued"


async def test_a_job_is_cancelled_in_each_state(
    operator: httpx.AsyncClient, sockets: WebSocketTransport, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    instance = await sockets.register(agent, slots=2)
    running = await job_deployment.create(agent)
    job = await sockets.run(instance)
    offered = await job_deployment.create(agent)
    early = await sockets.offer(instance)
    await sockets.end("drain", instance)
    queued = await job_deployment.create(agent)
    for job_id, state in ((queued, "cancelled"), (offered, "cancelled"), (running, "running")):
        answer = await operator.post(f"{JOBS}/{job_id}/cancel", json={"reason": "wrong", "grace_seconds": 5})
        assert (answer.status_code, answer.json()["state"], answer.json()["cancel_reason"]) == (200, state, "wrong")
    told = await _told(instance, "job.cancel")
    assert (told["job_id"], told["reason"], 0 < told["grace_seconds"] <= 5) == (running, "wrong", True)
    with pytest.raises(Exception, match="fenced"):
        await sockets.accept(instance, early)
    await sockets.send("finish", instance, job, cancelled=True)
    again = await operator.post(f"{JOBS}/{running}/cancel", json={})
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")


async def _told(instance: Instance, method: str) -> Job:
    assert instance.socket is not None
    return dict(await instance.socket.wait_for_notification(method))


async def test_listing_and_cancelling_ask_for_their_scopes(job_deployment: JobDeployment) -> None:
    reader = await job_deployment.issue_key(HARBOUR, scopes=("agents:read",))
    bot = await job_deployment.issue_key(HARBOUR, scopes=("agents:register",))
    path = f"{JOBS}/{uuid4()}"
    ref = {"registration_id": str(uuid4()), "epoch": 1, "attempt": 1}
    async with (
        job_deployment.server.http(**{"X-API-Key": reader}) as reading,
        job_deployment.server.http(**{"X-API-Key": bot}) as reporting,
    ):
        assert (await reading.get(JOBS)).status_code == 200
        assert problem(await reading.post(f"{path}/accept", json=ref)) == (403, "scope_missing", "agents:register")
        assert problem(await reading.post(f"{path}/cancel", json={})) == (403, "scope_missing", "agents:write")
        assert problem(await reporting.get(JOBS)) == (403, "scope_missing", "agents:read")
        assert problem(await reporting.post(f"{path}/cancel", json={})) == (403, "scope_missing", "agents:write")
        assert problem(await reporting.post(f"{path}/accept", json=ref)) == (409, "fenced", "job_id")


async def test_a_key_of_another_agent_cancels_nothing(
    operator: httpx.AsyncClient, job_deployment: JobDeployment
) -> None:
    agent = new_agent_id()
    await operator.put(f"/agents/configurations/{agent}", json={})
    job_id = await job_deployment.create(agent)
    bound = await job_deployment.issue_key(HARBOUR, agents=("another-agent",))
    async with job_deployment.server.http(**{"X-API-Key": bound}) as http:
        refused = await http.post(f"{JOBS}/{job_id}/cancel", json={})
    assert problem(refused) == (403, "agent_not_allowed", "agent_id")
    assert await job_deployment.state(job_id) == "queued"
