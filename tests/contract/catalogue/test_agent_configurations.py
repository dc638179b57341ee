"""Types of agents over HTTP: what a tenant configured of them, and the manifests that administrators publish."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from users.demo_users import HARBOUR, MEADOW

from contract.registry.registry_api import (
    CONFIGURATIONS,
    INSTANCES,
    MANIFESTS,
    list_instance_ids,
    new_agent_id,
    problem,
    register,
)


async def test_a_configuration_is_put_patched_and_deleted_with_its_instances(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    path = f"{CONFIGURATIONS}/{agent}"
    made = await ada.put(
        path, json={"model_id": "offline:demo", "temperature": 0.5, "max_workload": 2, "configuration": {"a": [1]}}
    )
    assert (made.status_code, made.json()["name"], made.json()["enabled"]) == (201, agent, True)
    assert (made.json()["agent_id"], made.json()["tenant_id"]) == (agent, HARBOUR)
    again = await ada.put(path, json={"name": "Display"})
    assert (again.status_code, again.json()["model_id"], again.json()["name"]) == (200, None, "Display")
    patched = await ada.patch(path, json={"max_tokens": 10, "temperature": 1, "capabilities": ["x"]})
    assert (patched.json()["name"], patched.json()["max_tokens"], patched.json()["capabilities"]) == (
        "Display",
        10,
        ["x"],
    )
    assert (await ada.patch(path, json={"max_tokens": None})).json()["max_tokens"] is None
    assert (await ada.get(path)).json()["config_id"] == made.json()["config_id"]
    one = await register(ada, agent)
    assert one["config_id"] == made.json()["config_id"]
    assert (await ada.delete(path)).status_code == 204
    assert problem(await ada.get(f"{INSTANCES}/{one['registration_id']}"))[0] == 404
    for method in ("GET", "PATCH", "DELETE"):
        assert problem(await ada.request(method, path, json={})) == (404, "not_found", "agent_id")


async def test_a_disabled_agent_registers_nobody(ada: httpx.AsyncClient, mia: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await ada.put(f"{CONFIGURATIONS}/{agent}", json={"enabled": False})
    answer = await ada.post(INSTANCES, json={"agent_id": agent, "instance_id": "c1"})
    assert problem(answer) == (403, "configuration_disabled", "agent_id")
    await register(mia, agent)
    await ada.patch(f"{CONFIGURATIONS}/{agent}", json={"enabled": True})
    await register(ada, agent)


async def test_free_slots_are_counted_against_the_configuration(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await ada.put(f"{CONFIGURATIONS}/{agent}", json={"max_workload": 2})
    one = await register(ada, agent)
    await ada.post(f"{INSTANCES}/{one['registration_id']}/heartbeat", json={"epoch": 1, "load": {"workload": 1}})
    assert await list_instance_ids(ada, agent_id=agent, free_slots=1) == ["c1"]
    assert await list_instance_ids(ada, agent_id=agent, free_slots=2) == []


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("temprature", {"temprature": 1}),
        ("temperature", {"temperature": 3}),
        ("temperature", {"temperature": True}),
        ("temperature", {"temperature": "0.5"}),
        ("max_workload", {"max_workload": -1}),
        ("name", {"name": ""}),
        ("enabled", {"enabled": "yes"}),
        ("execution", {"execution": "there"}),
        ("jobs", {"jobs": None}),
        ("jobs.retries", {"jobs": {"retries": 1}}),
        ("jobs.retry", {"jobs": {"retry": "sometimes"}}),
        ("jobs.max_attempts", {"jobs": {"max_attempts": 0}}),
        ("jobs.max_attempts", {"jobs": {"max_attempts": None}}),
        ("jobs.schedule_to_start_seconds", {"jobs": {"schedule_to_start_seconds": -1}}),
        ("jobs.schedule_to_start_seconds", {"jobs": {"schedule_to_start_seconds": True}}),
        ("jobs.run_within_seconds", {"jobs": {"run_within_seconds": 0}}),
        ("jobs.required_capabilities.0", {"jobs": {"required_capabilities": [""]}}),
        ("jobs.required_tags", {"jobs": {"required_tags": "gpu"}}),
        ("jobs.version", {"jobs": {"version": "^1.2"}}),
        ("jobs.zone", {"jobs": {"zone": ""}}),
        ("configuration", {"configuration": {"x": "y" * 70_000}}),
        ("system_prompt", {"system_prompt": "é" * 140_000}),
    ],
)
async def test_a_configuration_that_makes_no_sense_is_422(
    ada: httpx.AsyncClient, field: str, body: dict[str, Any]
) -> None:
    assert problem(await ada.put(f"{CONFIGURATIONS}/{new_agent_id()}", json=body)) == (422, "invalid", field)


JOBS: Any = {
    "retry": "if_silent",
    "max_attempts": 3,
    "schedule_to_start_seconds": 60,
    "run_within_seconds": None,
    "required_capabilities": [],
    "required_tags": [],
    "version": None,
    "zone": None,
}


async def test_an_agent_without_a_model_and_a_prompt_runs_in_its_instances(ada: httpx.AsyncClient) -> None:
    path = f"{CONFIGURATIONS}/{new_agent_id()}"
    made = (await ada.put(path, json={})).json()
    assert (made["execution"], made["effective_execution"], made["jobs"]) == (None, "instances", JOBS)
    for field, value in (("model_id", "offline:demo"), ("system_prompt", "Answer.")):
        assert (await ada.patch(path, json={field: value})).json()["effective_execution"] == "here"
        assert (await ada.patch(path, json={field: None})).json()["effective_execution"] == "instances"
    chosen = (await ada.patch(path, json={"execution": "here"})).json()
    assert (chosen["execution"], chosen["effective_execution"]) == ("here", "here")
    chosen = (await ada.patch(path, json={"execution": "instances", "model_id": "offline:demo"})).json()
    assert (chosen["execution"], chosen["effective_execution"]) == ("instances", "instances")
    assert (await ada.patch(path, json={"execution": None})).json()["effective_execution"] == "here"


async def test_a_patch_keeps_the_options_of_jobs_that_it_does_not_give_and_a_put_does_not(
    ada: httpx.AsyncClient,
) -> None:
    path = f"{CONFIGURATIONS}/{new_agent_id()}"
    given = {"retry": "always", "version": ">=1.2,<2", "required_tags": ["gpu"], "schedule_to_start_seconds": None}
    assert (await ada.put(path, json={"jobs": given})).json()["jobs"] == JOBS | given
    patched = await ada.patch(path, json={"jobs": {"zone": "eu", "schedule_to_start_seconds": 0}})
    assert patched.json()["jobs"] == JOBS | given | {"zone": "eu", "schedule_to_start_seconds": 0}
    assert (await ada.patch(path, json={"name": "same"})).json()["jobs"] == patched.json()["jobs"]
    assert (await ada.put(path, json={})).json()["jobs"] == JOBS


async def test_a_configuration_is_its_tenants_alone(ada: httpx.AsyncClient, mia: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await ada.put(f"{CONFIGURATIONS}/{agent}", json={"system_prompt": "ours"})
    for method in ("GET", "PATCH", "DELETE"):
        assert (await mia.request(method, f"{CONFIGURATIONS}/{agent}", json={"name": "x"})).status_code == 404
    listed = (await mia.get(CONFIGURATIONS, params={"limit": 100})).json()["configurations"]
    assert {each["tenant_id"] for each in listed} <= {MEADOW}
    listed = (await ada.get(CONFIGURATIONS, params={"limit": 1})).json()
    assert len(listed["configurations"]) == 1 and listed["next_cursor"] == listed["configurations"][0]["agent_id"]
    assert (await ada.put(f"{CONFIGURATIONS}/6f1c8d2e-8f6b-4c0a-9a53-0c1f2b3d4e5f", json={})).json()[
        "field"
    ] == "agent_id"


async def test_only_administrators_write_manifests_and_publish_them(
    ada: httpx.AsyncClient, mia: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    agent = new_agent_id()
    path = f"{MANIFESTS}/{agent}"
    await register(ada, agent)
    for method in ("PUT", "PATCH"):
        assert (await ada.request(method, path, json={"name": "mine"})).status_code == 403
    assert (await ada.get(path)).json()["capabilities"] == []
    assert (await mia.get(path)).status_code == 404
    put = await root.put(path, json={"name": "IDE", "capabilities": ["code"], "published": True})
    assert (put.status_code, put.json()["name"]) == (200, "IDE")
    assert (await mia.get(path)).json()["capabilities"] == ["code"]
    assert agent in {each["agent_id"] for each in (await mia.get(MANIFESTS, params={"limit": 100})).json()["manifests"]}
    patched = await root.patch(path, json={"published": False, "version": "2"})
    assert (patched.json()["published"], patched.json()["name"], patched.json()["version"]) == (False, "IDE", "2")
    assert (await mia.get(path)).status_code == 404 and (await root.get(path)).status_code == 200
    assert (await root.put(f"{MANIFESTS}/{new_agent_id()}", json={})).status_code == 201
    assert problem(await root.patch(f"{MANIFESTS}/{new_agent_id()}", json={})) == (404, "not_found", "agent_id")
    assert problem(await root.put(path, json={"agent_id": "other"})) == (422, "invalid", "agent_id")
