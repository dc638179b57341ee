"""Agents that run elsewhere, over HTTP: two organizations, their keys and tokens, on a whole server."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from servers.live_server import LiveServer, until
from users.demo_users import HARBOUR, MEADOW

from .registry_api import CONFIGURATIONS, INSTANCES, MANIFESTS, list_instance_ids, new_agent_id, problem, register


async def test_an_instance_registers_beats_drains_and_goes(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
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
    assert await list_instance_ids(ada, agent_id=agent, capability="code", tag="t", version=">=1.2,<2") == ["c1"]
    patched = await ada.patch(path, json={"epoch": 2, "capabilities": ["debug"]})
    assert (patched.status_code, patched.json()["capabilities"], patched.json()["zone"]) == (200, ["debug"], "eu")
    drained = await ada.post(f"{path}/drain", json={"epoch": 2, "reason": "update"})
    assert (drained.json()["registration_status"], drained.json()["status_reason"]) == ("draining", "update")
    assert await list_instance_ids(ada, agent_id=agent) == [] and await list_instance_ids(
        ada, agent_id=agent, status="draining"
    ) == ["c1"]
    assert (await ada.delete(path, params={"epoch": 2})).status_code == 204
    assert (await ada.request("DELETE", path, json={"epoch": 2, "reason": "twice"})).status_code == 204
    assert await list_instance_ids(ada, agent_id=agent, health="stale") == []
    assert await list_instance_ids(ada, agent_id=agent, status="inactive", health="stale") == ["c1"]


async def test_an_instance_registers_as_draining(ada: httpx.AsyncClient) -> None:
    agent, given = new_agent_id(), {"drain_reason": "the node goes away", "slots": 2}
    one = await register(ada, agent, capabilities=["code"], **given)
    path = f"{INSTANCES}/{one['registration_id']}"
    shown = (await ada.get(path)).json()
    assert (shown["registration_status"], shown["status_reason"]) == ("draining", "the node goes away")
    assert await list_instance_ids(ada, agent_id=agent) == []
    await register(ada, agent, status=200)
    assert (await ada.get(path)).json()["registration_status"] == "active"
    assert (await register(ada, agent, status=200, **given))["epoch"] == 3
    assert (await ada.get(path)).json()["registration_status"] == "draining"
    answer = await ada.post(INSTANCES, json={"agent_id": agent, "instance_id": "c1", "drain_reason": "x" * 1025})
    assert problem(answer) == (422, "invalid", "drain_reason")


async def test_an_older_life_is_409_and_one_that_is_over_410(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await register(ada, agent)
    path = f"{INSTANCES}/{(await register(ada, agent, status=200))['registration_id']}"
    for method, where, body in (
        ("POST", "/heartbeat", {"epoch": 1}),
        ("POST", "/drain", {"epoch": 1}),
        ("PATCH", "", {"epoch": 1, "name": "x"}),
        ("DELETE", "", {"epoch": 1}),
    ):
        assert problem(await ada.request(method, path + where, json=body)) == (409, "superseded", "epoch")
    assert (await ada.delete(path, params={"epoch": 2})).status_code == 204
    for method, where, body in (
        ("POST", "/heartbeat", {"epoch": 2}),
        ("POST", "/drain", {"epoch": 2}),
        ("PATCH", "", {"epoch": 2, "name": "x"}),
    ):
        assert problem(await ada.request(method, path + where, json=body)) == (410, "must_register", None)
    assert (await register(ada, agent, status=200))["epoch"] == 3


async def test_an_epoch_that_has_never_been_is_410_whatever_it_says(ada: httpx.AsyncClient) -> None:
    path = f"{INSTANCES}/{(await register(ada, new_agent_id()))['registration_id']}"
    for epoch in (2, 2**63 - 1):
        for method, where in (("POST", "/heartbeat"), ("POST", "/drain"), ("DELETE", "")):
            answer = await ada.request(method, path + where, json={"epoch": epoch})
            assert problem(answer) == (410, "must_register", None)
        assert problem(await ada.patch(path, json={"epoch": epoch, "name": "x"})) == (410, "must_register", None)
    assert problem(await ada.post(f"{path}/heartbeat", json={"epoch": 2**63})) == (422, "invalid", "epoch")
    assert (await ada.post(f"{path}/heartbeat", json={"epoch": 1})).status_code == 200


async def test_an_answer_that_was_lost_is_given_again(ada: httpx.AsyncClient) -> None:
    agent, key = new_agent_id(), str(uuid4())
    body = {"agent_id": agent, "instance_id": "c1"}
    first = await ada.post(INSTANCES, json=body, headers={"idempotency-key": key})
    again = await ada.post(INSTANCES, json={**body, "idempotency_key": key})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["epoch"] == again.json()["epoch"] == 1
    both = await ada.post(INSTANCES, json={**body, "idempotency_key": "other"}, headers={"idempotency-key": key})
    assert problem(both) == (400, "idempotency_key_contradicts", "idempotency_key")


async def test_64_first_registrations_at_once_make_one(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    body = {"agent_id": agent, "instance_id": "c1"}
    answers = await asyncio.gather(*(ada.post(INSTANCES, json=body) for _ in range(64)))
    assert sorted(each.status_code for each in answers) == [200] * 63 + [201]
    assert len({each.json()["registration_id"] for each in answers}) == 1


async def test_pages_follow_each_other(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
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
    answer = await ada.post(INSTANCES, json={"agent_id": new_agent_id(), "instance_id": "c1", field: value})
    assert problem(answer) == (422, "invalid", field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"epoch": 1, "load": {"workload": "much"}}, "load.workload"),
        ({"epoch": 1, "load": [1]}, "load"),
        ({"epoch": 1, "metrics": {"x": "y" * 9000}}, "metrics"),
        ({"epoch": 1, "metrics": {"x": [1] * 3000}}, "metrics"),
        ({"epoch": 1, "health": "stale"}, "health"),
        ({"epoch": 2**63}, "epoch"),
        ({"health": "healthy"}, "epoch"),
    ],
)
async def test_a_heartbeat_that_makes_no_sense_is_422_named_and_the_next_one_counts(
    ada: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    path = f"{INSTANCES}/{(await register(ada, new_agent_id()))['registration_id']}/heartbeat"
    assert problem(await ada.post(path, json=body)) == (422, "invalid", field)
    assert (await ada.post(path, json={"epoch": 1})).status_code == 200


async def test_a_delete_says_of_which_life(ada: httpx.AsyncClient) -> None:
    path = f"{INSTANCES}/{(await register(ada, new_agent_id()))['registration_id']}"
    assert problem(await ada.delete(path)) == (422, "invalid", "epoch")
    assert problem(await ada.delete(path, params={"epoch": 1, "force": "yes"})) == (422, "invalid", "force")


async def test_a_lease_that_has_ended_is_out_of_discovery_before_anybody_sweeps(
    ada: httpx.AsyncClient, jwt_server: LiveServer
) -> None:
    agent = new_agent_id()
    one = await register(ada, agent)
    connection = await asyncpg.connect(jwt_server.database)
    try:
        await connection.execute(
            "update mcp.agent_leases set lease_expires_at = now() where registration_id = $1", one["registration_id"]
        )
    finally:
        await connection.close()
    assert await list_instance_ids(ada, agent_id=agent) == []
    shown = (await ada.get(f"{INSTANCES}/{one['registration_id']}")).json()
    assert (shown["registration_status"], shown["health_status"]) == ("inactive", "stale")

    async def revived() -> bool:
        beat = await ada.post(f"{INSTANCES}/{one['registration_id']}/heartbeat", json={"epoch": 1})
        return beat.status_code == 200 and await list_instance_ids(ada, agent_id=agent) == ["c1"]

    await until(revived)


# Two organizations


async def test_the_same_instance_id_in_two_organizations_is_two_instances(
    ada: httpx.AsyncClient, mia: httpx.AsyncClient
) -> None:
    agent = new_agent_id()
    mine = await register(ada, agent, capabilities=["mine"])
    theirs = await register(mia, agent, capabilities=["theirs"])
    assert mine["registration_id"] != theirs["registration_id"] and mine["manifest_id"] == theirs["manifest_id"]
    assert (await mia.delete(f"{INSTANCES}/{theirs['registration_id']}", params={"epoch": 1})).status_code == 204
    assert await list_instance_ids(ada, agent_id=agent) == ["c1"] and await list_instance_ids(mia, agent_id=agent) == []
    assert await list_instance_ids(ada, capability="theirs") == []


async def test_another_organizations_registration_is_404_whatever_is_done(
    ada: httpx.AsyncClient, mia: httpx.AsyncClient
) -> None:
    one = await register(ada, new_agent_id())
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
            assert problem(answer) == (404, "not_found", "registration_id"), (method, path)
    assert (await ada.get(f"{INSTANCES}/{one['registration_id']}")).json() == before


async def test_the_header_of_a_foreign_organization_is_403_and_of_ones_own_decides(
    clients: dict[str, httpx.AsyncClient], ada: httpx.AsyncClient
) -> None:
    agent, body = new_agent_id(), {"agent_id": new_agent_id(), "instance_id": "c1"}
    for method, path in (("POST", INSTANCES), ("GET", INSTANCES), ("GET", CONFIGURATIONS), ("GET", MANIFESTS)):
        answer = await ada.request(
            method, path, json=body if method == "POST" else None, headers={"x-organization-id": MEADOW}
        )
        assert answer.status_code == 403, path
    both = clients["both"]
    assert problem(await both.post(INSTANCES, json=body)) == (400, "organization_required", "X-Organization-Id")
    answer = await both.post(INSTANCES, json={**body, "agent_id": agent}, headers={"x-organization-id": MEADOW})
    assert answer.status_code == 201
    assert (
        await list_instance_ids(clients["mia"], agent_id=agent) == ["c1"]
        and await list_instance_ids(ada, agent_id=agent) == []
    )


async def test_an_administrator_acts_for_the_organization_that_it_names(
    clients: dict[str, httpx.AsyncClient], ada: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    agent = new_agent_id()
    one = await register(ada, agent)
    assert problem(await root.get(INSTANCES)) == (400, "organization_required", "X-Organization-Id")
    of_ada = {"x-organization-id": HARBOUR}
    listed = (await root.get(INSTANCES, params={"agent_id": agent}, headers=of_ada)).json()["instances"]
    assert [each["registration_id"] for each in listed] == [one["registration_id"]]
    path = f"{INSTANCES}/{one['registration_id']}"
    assert (await root.get(path, headers={"x-organization-id": MEADOW})).status_code == 404
    assert (await root.post(f"{path}/drain", json={"epoch": 1}, headers=of_ada)).status_code in (200, 204)
    assert (await ada.get(path)).json()["registration_status"] == "draining"


async def test_a_key_of_an_instance_registers_and_reads_nothing(
    jwt_server: LiveServer, root: httpx.AsyncClient
) -> None:
    answer = await root.post(
        "/keys", json={"organizations": [HARBOUR], "scopes": ["agents:register"], "kind": "instance"}
    )
    async with jwt_server.http(**{"x-api-key": answer.json()["key"]}) as instance:
        one = await register(instance, new_agent_id())
        beat = await instance.post(f"{INSTANCES}/{one['registration_id']}/heartbeat", json={"epoch": 1})
        assert beat.status_code == 200
        for method, path in (("GET", INSTANCES), ("PUT", f"{CONFIGURATIONS}/x"), ("GET", MANIFESTS)):
            assert problem(await instance.request(method, path, json={}))[:2] == (403, "scope_missing")
