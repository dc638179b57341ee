"""Agents that run elsewhere, over HTTP: two organisations, their keys and tokens, on a whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from live_server import LiveServer, until

from .people import HARBOUR, MEADOW, bearer
from .wire import detail

INSTANCES, CONFIGURATIONS, MANIFESTS = "/agents/instances", "/agents/configurations", "/agents/manifests"


@pytest.fixture(scope="module")
async def clients(guarded: LiveServer) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    headers = {
        "ada": bearer("ada", HARBOUR),
        "mia": bearer("mia", MEADOW),
        "both": bearer("both", HARBOUR, MEADOW),
        "root": bearer("root", permissions=("admin",)),
    }
    opened = {name: guarded.http(**each) for name, each in headers.items()}
    yield opened
    for client in opened.values():
        await client.aclose()


@pytest.fixture(scope="module")
def ada(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["ada"]


@pytest.fixture(scope="module")
def mia(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["mia"]


@pytest.fixture(scope="module")
def root(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["root"]


def name() -> str:
    """An agent_id of one's own."""
    return f"agent-{uuid4().hex[:12]}"


async def register(
    client: httpx.AsyncClient, agent_id: str, instance_id: str = "c1", status: int = 201, **said: Any
) -> Any:
    answer = await client.post(INSTANCES, json={"agent_id": agent_id, "instance_id": instance_id, **said})
    assert answer.status_code == status, answer.text
    return answer.json()


async def found(client: httpx.AsyncClient, **wanted: Any) -> list[str]:
    answer = await client.get(INSTANCES, params=wanted)
    assert answer.status_code == 200, answer.text
    return sorted(each["instance_id"] for each in answer.json()["instances"])


def said(answer: httpx.Response) -> tuple[int, str, str | None]:
    assert answer.headers["content-type"] == "application/problem+json" and detail(answer)
    return answer.status_code, answer.json()["code"], answer.json().get("field")


async def test_an_instance_registers_beats_drains_and_goes(ada: httpx.AsyncClient) -> None:
    agent = name()
    one = await register(ada, agent, capabilities=["code"], tags=["t"], zone="eu", version="1.2.3", agent_type="ide")
    assert (one["is_new"], one["epoch"], one["instance_id"]) == (True, 1, "c1")
    again = await register(ada, agent, status=200)
    assert (again["is_new"], again["epoch"], again["registration_id"]) == (False, 2, one["registration_id"])
    path = f"{INSTANCES}/{one['registration_id']}"
    beat = await ada.post(f"{path}/heartbeat", json={"epoch": 2, "health": "degraded", "load": {"workload": 3}})
    assert beat.status_code == 200 and 0 < beat.json()["heartbeat_interval_seconds"] < beat.json()["lease_ttl_seconds"]
    shown = (await ada.get(path)).json()
    assert (shown["health_status"], shown["workload"], shown["capabilities"]) == ("degraded", 3, ["code"])
    assert (shown["registered_by"], shown["tenant_id"]) == ("ada", HARBOUR)
    assert await found(ada, agent_id=agent, capability="code", tag="t", version=">=1.2,<2") == ["c1"]
    patched = await ada.patch(path, json={"epoch": 2, "capabilities": ["debug"]})
    assert (patched.status_code, patched.json()["capabilities"], patched.json()["zone"]) == (200, ["debug"], "eu")
    drained = await ada.post(f"{path}/drain", json={"epoch": 2, "reason": "update"})
    assert (drained.json()["registration_status"], drained.json()["status_reason"]) == ("draining", "update")
    assert await found(ada, agent_id=agent) == [] and await found(ada, agent_id=agent, status="draining") == ["c1"]
    assert (await ada.delete(path, params={"epoch": 2})).status_code == 204
    assert (await ada.request("DELETE", path, json={"epoch": 2, "reason": "twice"})).status_code == 204
    assert await found(ada, agent_id=agent, health="stale") == ["c1"]


async def test_an_older_life_is_409_and_one_that_is_over_410(ada: httpx.AsyncClient) -> None:
    agent = name()
    await register(ada, agent)
    path = f"{INSTANCES}/{(await register(ada, agent, status=200))['registration_id']}"
    for method, where, body in (
        ("POST", "/heartbeat", {"epoch": 1}),
        ("POST", "/drain", {"epoch": 1}),
        ("PATCH", "", {"epoch": 1, "name": "x"}),
        ("DELETE", "", {"epoch": 1}),
    ):
        assert said(await ada.request(method, path + where, json=body)) == (409, "superseded", "epoch")
    assert (await ada.delete(path, params={"epoch": 2})).status_code == 204
    for method, where, body in (
        ("POST", "/heartbeat", {"epoch": 2}),
        ("POST", "/drain", {"epoch": 2}),
        ("PATCH", "", {"epoch": 2, "name": "x"}),
    ):
        assert said(await ada.request(method, path + where, json=body)) == (410, "must_register", None)
    assert (await register(ada, agent, status=200))["epoch"] == 3
    assert said(await ada.post(f"{path}/drain", json={"epoch": 4})) == (422, "invalid", "epoch")


async def test_an_answer_that_was_lost_is_given_again(ada: httpx.AsyncClient) -> None:
    agent, key = name(), str(uuid4())
    body = {"agent_id": agent, "instance_id": "c1"}
    first = await ada.post(INSTANCES, json=body, headers={"idempotency-key": key})
    again = await ada.post(INSTANCES, json={**body, "idempotency_key": key})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["epoch"] == again.json()["epoch"] == 1
    both = await ada.post(INSTANCES, json={**body, "idempotency_key": "other"}, headers={"idempotency-key": key})
    assert said(both) == (400, "idempotency_key_contradicts", "idempotency_key")


async def test_64_first_registrations_at_once_make_one(ada: httpx.AsyncClient) -> None:
    agent = name()
    body = {"agent_id": agent, "instance_id": "c1"}
    answers = await asyncio.gather(*(ada.post(INSTANCES, json=body) for _ in range(64)))
    assert sorted(each.status_code for each in answers) == [200] * 63 + [201]
    assert len({each.json()["registration_id"] for each in answers}) == 1


async def test_pages_follow_each_other(ada: httpx.AsyncClient) -> None:
    agent = name()
    await asyncio.gather(*(register(ada, agent, f"i{n}") for n in range(7)))
    seen, cursor = [], None
    while True:
        page = (
            await ada.get(INSTANCES, params={"agent_id": agent, "limit": 3, **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [each["instance_id"] for each in page["instances"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == [f"i{n}" for n in range(7)]


@pytest.mark.parametrize(
    ("parameter", "value", "status"),
    [
        ("capabilty", "code", 422),
        ("health", "fine", 422),
        ("status", "gone", 422),
        ("version", "1.x", 422),
        ("free_slots", "-1", 422),
        ("free_slots", "many", 400),
        ("limit", "101", 422),
        ("cursor", "7", 422),
    ],
)
async def test_a_filter_that_makes_no_sense_is_named(
    ada: httpx.AsyncClient, parameter: str, value: str, status: int
) -> None:
    answer = await ada.get(INSTANCES, params={parameter: value})
    assert (answer.status_code, answer.json()["field"]) == (status, parameter)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capabilites", ["code"]),
        ("tenant_id", HARBOUR),
        ("agent_id", "6f1c8d2e-8f6b-4c0a-9a53-0c1f2b3d4e5f"),
        ("agent_id", "x" * 129),
        ("instance_id", ""),
        ("instance_id", "two\nlines"),
        ("health", "stale"),
        ("runtime_config", {"x": "y" * 70_000}),
        ("tags", ["x"] * 65),
    ],
)
async def test_a_registration_that_makes_no_sense_is_422_and_names_the_field(
    ada: httpx.AsyncClient, field: str, value: Any
) -> None:
    answer = await ada.post(INSTANCES, json={"agent_id": name(), "instance_id": "c1", field: value})
    assert said(answer) == (422, "invalid", field)


@pytest.mark.parametrize(
    "body",
    [
        {"epoch": 1, "load": {"workload": "much"}},
        {"epoch": 1, "metrics": {"x": "y" * 9000}},
        {"epoch": 1, "health": "stale"},
        {"epoch": 2**63},
        {"health": "healthy"},
    ],
)
async def test_a_heartbeat_that_makes_no_sense_is_422_and_the_next_one_counts(
    ada: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    path = f"{INSTANCES}/{(await register(ada, name()))['registration_id']}/heartbeat"
    assert (await ada.post(path, json=body)).status_code == 422
    assert (await ada.post(path, json={"epoch": 1})).status_code == 200


async def test_a_delete_says_of_which_life(ada: httpx.AsyncClient) -> None:
    path = f"{INSTANCES}/{(await register(ada, name()))['registration_id']}"
    assert said(await ada.delete(path)) == (422, "invalid", "epoch")
    assert said(await ada.delete(path, params={"epoch": 1, "force": "yes"})) == (422, "invalid", "force")


# Two organisations


async def test_the_same_instance_id_in_two_organisations_is_two_instances(
    ada: httpx.AsyncClient, mia: httpx.AsyncClient
) -> None:
    agent = name()
    mine = await register(ada, agent, capabilities=["mine"])
    theirs = await register(mia, agent, capabilities=["theirs"])
    assert mine["registration_id"] != theirs["registration_id"] and mine["manifest_id"] == theirs["manifest_id"]
    assert (await mia.delete(f"{INSTANCES}/{theirs['registration_id']}", params={"epoch": 1})).status_code == 204
    assert await found(ada, agent_id=agent) == ["c1"] and await found(mia, agent_id=agent) == []
    assert await found(ada, capability="theirs") == []


async def test_another_organisations_registration_is_404_whatever_is_done(
    ada: httpx.AsyncClient, mia: httpx.AsyncClient
) -> None:
    one = await register(ada, name())
    before = (await ada.get(f"{INSTANCES}/{one['registration_id']}")).json()
    for identifier in (one["registration_id"], str(uuid4()), "nonsense"):
        path = f"{INSTANCES}/{identifier}"
        for method, where, body in (
            ("GET", "", None),
            ("POST", "/heartbeat", {"epoch": 1, "health": "unhealthy"}),
            ("POST", "/drain", {"epoch": 1}),
            ("PATCH", "", {"epoch": 1, "name": "theirs"}),
            ("DELETE", "", {"epoch": 1}),
        ):
            answer = await mia.request(method, path + where, json=body)
            assert said(answer) == (404, "not_found", "registration_id"), (method, path)
    assert (await ada.get(f"{INSTANCES}/{one['registration_id']}")).json() == before


async def test_the_header_of_a_foreign_organisation_is_403_and_of_ones_own_decides(
    clients: dict[str, httpx.AsyncClient], ada: httpx.AsyncClient
) -> None:
    agent, body = name(), {"agent_id": name(), "instance_id": "c1"}
    for method, path in (("POST", INSTANCES), ("GET", INSTANCES), ("GET", CONFIGURATIONS), ("GET", MANIFESTS)):
        answer = await ada.request(
            method, path, json=body if method == "POST" else None, headers={"x-organization-id": MEADOW}
        )
        assert answer.status_code == 403, path
    both = clients["both"]
    assert said(await both.post(INSTANCES, json=body)) == (400, "organization_required", "X-Organization-Id")
    answer = await both.post(INSTANCES, json={**body, "agent_id": agent}, headers={"x-organization-id": MEADOW})
    assert answer.status_code == 201
    assert await found(clients["mia"], agent_id=agent) == ["c1"] and await found(ada, agent_id=agent) == []


async def test_a_key_of_an_instance_registers_and_reads_nothing(guarded: LiveServer, root: httpx.AsyncClient) -> None:
    answer = await root.post(
        "/keys", json={"organizations": [HARBOUR], "scopes": ["agents:register"], "kind": "instance"}
    )
    async with guarded.http(**{"x-api-key": answer.json()["key"]}) as instance:
        one = await register(instance, name())
        beat = await instance.post(f"{INSTANCES}/{one['registration_id']}/heartbeat", json={"epoch": 1})
        assert beat.status_code == 200
        for method, path in (("GET", INSTANCES), ("PUT", f"{CONFIGURATIONS}/x"), ("GET", MANIFESTS)):
            assert said(await instance.request(method, path, json={}))[:2] == (403, "scope_missing")


# Configurations and manifests


async def test_a_configuration_is_put_patched_and_deleted_with_its_instances(ada: httpx.AsyncClient) -> None:
    agent = name()
    path = f"{CONFIGURATIONS}/{agent}"
    made = await ada.put(
        path, json={"model_id": "offline:demo", "temperature": 0.5, "max_workload": 2, "configuration": {"a": [1]}}
    )
    assert (made.status_code, made.json()["name"], made.json()["enabled"]) == (201, agent, True)
    assert (made.json()["agent_id"], made.json()["tenant_id"]) == (agent, HARBOUR)
    again = await ada.put(path, json={"name": "Display"})
    assert (again.status_code, again.json()["model_id"], again.json()["name"]) == (200, None, "Display")
    patched = await ada.patch(path, json={"max_tokens": 10, "capabilities": ["x"]})
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
    assert said(await ada.get(f"{INSTANCES}/{one['registration_id']}"))[0] == 404
    for method in ("GET", "PATCH", "DELETE"):
        assert said(await ada.request(method, path, json={})) == (404, "not_found", "agent_id")


async def test_a_disabled_agent_registers_nobody(ada: httpx.AsyncClient, mia: httpx.AsyncClient) -> None:
    agent = name()
    await ada.put(f"{CONFIGURATIONS}/{agent}", json={"enabled": False})
    answer = await ada.post(INSTANCES, json={"agent_id": agent, "instance_id": "c1"})
    assert said(answer) == (403, "configuration_disabled", "agent_id")
    await register(mia, agent)
    await ada.patch(f"{CONFIGURATIONS}/{agent}", json={"enabled": True})
    await register(ada, agent)


async def test_free_slots_are_counted_against_the_configuration(ada: httpx.AsyncClient) -> None:
    agent = name()
    await ada.put(f"{CONFIGURATIONS}/{agent}", json={"max_workload": 2})
    one = await register(ada, agent)
    await ada.post(f"{INSTANCES}/{one['registration_id']}/heartbeat", json={"epoch": 1, "load": {"workload": 1}})
    assert await found(ada, agent_id=agent, free_slots=1) == ["c1"]
    assert await found(ada, agent_id=agent, free_slots=2) == []


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("temprature", {"temprature": 1}),
        ("temperature", {"temperature": 3}),
        ("max_workload", {"max_workload": -1}),
        ("name", {"name": ""}),
        ("enabled", {"enabled": "yes"}),
        ("configuration", {"configuration": {"x": "y" * 70_000}}),
        ("system_prompt", {"system_prompt": "é" * 140_000}),
    ],
)
async def test_a_configuration_that_makes_no_sense_is_422(
    ada: httpx.AsyncClient, field: str, body: dict[str, Any]
) -> None:
    assert said(await ada.put(f"{CONFIGURATIONS}/{name()}", json=body)) == (422, "invalid", field)


async def test_a_configuration_is_its_tenants_alone(ada: httpx.AsyncClient, mia: httpx.AsyncClient) -> None:
    agent = name()
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
    agent = name()
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
    assert (await root.put(f"{MANIFESTS}/{name()}", json={})).status_code == 201
    assert said(await root.patch(f"{MANIFESTS}/{name()}", json={})) == (404, "not_found", "agent_id")
    assert said(await root.put(path, json={"agent_id": "other"})) == (422, "invalid", "agent_id")


async def test_a_lease_that_has_ended_is_out_of_discovery_before_anybody_sweeps(
    ada: httpx.AsyncClient, guarded: LiveServer
) -> None:
    agent = name()
    one = await register(ada, agent)
    connection = await asyncpg.connect(guarded.database)
    try:
        await connection.execute(
            "update mcp.agent_leases set lease_expires_at = now() where registration_id = $1", one["registration_id"]
        )
    finally:
        await connection.close()
    assert await found(ada, agent_id=agent) == []
    shown = (await ada.get(f"{INSTANCES}/{one['registration_id']}")).json()
    assert (shown["registration_status"], shown["health_status"]) == ("inactive", "stale")

    async def revived() -> bool:
        beat = await ada.post(f"{INSTANCES}/{one['registration_id']}/heartbeat", json={"epoch": 1})
        return beat.status_code == 200 and await found(ada, agent_id=agent) == ["c1"]

    await until(revived)
