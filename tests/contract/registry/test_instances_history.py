"""GET /agents/instances/{registration_id}/history shows what happened to an instance, to its organization."""

from __future__ import annotations

import httpx

from .registry_api import INSTANCES, new_agent_id, problem, register


async def test_the_history_of_an_instance_has_its_registrations_events_and_jobs(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    one = await register(ada, agent, version="1.0", slots=2)
    await register(ada, agent, status=200, version="1.1", slots=2)
    path = f"{INSTANCES}/{one['registration_id']}"
    await ada.post(f"{path}/cordon", json={"reason": "looks odd"})
    assert (await ada.delete(path, params={"epoch": 2, "reason": "update"})).status_code == 204
    answer = await ada.get(f"{path}/history")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert [(each["kind"], each["epoch"]) for each in shown["events"]] == [
        ("deregistered", 2), ("cordoned", 2), ("reconnected", 2), ("registered", 1),
    ]  # fmt: skip
    assert [each["detail"] for each in shown["events"][:2]] == [{"reason": "update"}, {"reason": "looks odd"}]
    last, first = shown["registrations"]
    assert (last["epoch"], last["version"], last["reason"], last["ended_at"]) == (
        2, "1.1", "update", shown["events"][0]["at"],
    )  # fmt: skip
    assert (first["epoch"], first["version"], first["reason"]) == (1, "1.0", "superseded")
    assert shown["jobs"] == {"succeeded": 0, "failed": 0, "rejected": 0, "running": 0}
    assert shown["breaker"] is None, "an instance that has ended takes no jobs"


async def test_an_instance_that_takes_jobs_has_a_breaker(ada: httpx.AsyncClient) -> None:
    one = await register(ada, new_agent_id(), slots=2)
    shown = (await ada.get(f"{INSTANCES}/{one['registration_id']}/history")).json()
    assert shown["breaker"] == {
        "state": "closed", "failures": 0, "ejections": 0, "reason": None, "until": None, "opened_at": None,
    }  # fmt: skip


async def test_no_other_organization_learns_that_there_is_such_an_instance(
    ada: httpx.AsyncClient, mia: httpx.AsyncClient
) -> None:
    one = await register(ada, new_agent_id())
    assert problem(await mia.get(f"{INSTANCES}/{one['registration_id']}/history"))[:2] == (404, "not_found")
    assert problem(await ada.get(f"{INSTANCES}/not-an-id/history"))[:2] == (404, "not_found")
