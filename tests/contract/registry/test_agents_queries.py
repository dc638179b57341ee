"""Query parameters of /agents/*: each is used or refused by name, never ignored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .registry_api import CONFIGURATIONS, INSTANCES, MANIFESTS, list_instance_ids, new_agent_id, problem, register

NOBODY = "0a000000-0000-4000-8000-0000000000ff"
_ONE = f"{INSTANCES}/{NOBODY}"


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (INSTANCES, "agent_id=ide-agent&agent_id=nope", "agent_id"),
        (INSTANCES, "zone=a&zone=b", "zone"),
        (INSTANCES, "limit=1&limit=2", "limit"),
        (INSTANCES, "agent_id=", "agent_id"),
        (INSTANCES, "capability=code&capability=", "capability"),
        (INSTANCES, "zone=%00", "zone"),
        (INSTANCES, "agent_id=" + "x" * 129, "agent_id"),
        (INSTANCES, "&".join(["tag=x"] * 65), "tag"),
        (INSTANCES, "foo=1", "foo"),
        (_ONE, "foo=1", "foo"),
        ("/agents/watch", "agent_id=a&agent_id=b", "agent_id"),
        ("/agents/watch", "status=active", "status"),
        ("/agents/watch", "zone=", "zone"),
        (CONFIGURATIONS, "agent_id=x", "agent_id"),
        (f"{CONFIGURATIONS}/x", "full=1", "full"),
        (MANIFESTS, "cursor=", "cursor"),
        (f"{MANIFESTS}/x", "limit=1", "limit"),
    ],
)
async def test_a_query_that_makes_no_sense_is_422_and_named(
    ada: httpx.AsyncClient, path: str, query: str, field: str
) -> None:
    answer = await ada.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert answer.json()["detail"].startswith(f"{field}: ")


async def test_what_is_written_with_a_query_that_nobody_knows_is_not_written(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    configuration, body = f"{CONFIGURATIONS}/{agent}", {"agent_id": agent, "instance_id": "c1"}
    assert problem(await ada.post(f"{INSTANCES}?foo=1&agent_id=zzz", json=body)) == (422, "invalid", "agent_id")
    assert problem(await ada.put(f"{configuration}?enabled=false", json={})) == (422, "invalid", "enabled")
    assert (await ada.get(configuration)).status_code == 404
    one = await register(ada, agent)
    path = f"{INSTANCES}/{one['registration_id']}"
    for method, where in (
        ("DELETE", f"{configuration}?dry_run=true"),
        ("PATCH", f"{path}?name=x"),
        ("DELETE", f"{path}?foo=1"),
    ):
        assert problem(await ada.request(method, where, json={"epoch": 1, "name": "x"}))[0] == 422, where
    for beat in ("heartbeat?epoch=77", "drain?epoch=77"):
        assert problem(await ada.post(f"{path}/{beat}", json={"epoch": 1})) == (422, "invalid", "epoch")
    assert problem(await ada.post("/agents/tickets?x=1")) == (422, "invalid", "x")
    assert await list_instance_ids(ada, agent_id=agent) == ["c1"]


async def test_a_delete_names_its_life_in_one_place_and_its_reason_is_never_cut(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    path = f"{INSTANCES}/{(await register(ada, agent))['registration_id']}"
    assert problem(await ada.delete(f"{path}?epoch=1&epoch=2")) == (422, "invalid", "epoch")
    both = await ada.request("DELETE", f"{path}?epoch=1", json={"epoch": 1})
    assert problem(both) == (422, "invalid", "epoch")
    assert both.json()["detail"] == "epoch: set it in the query or in a body, not both"
    long: dict[str, Any] = {"epoch": 1, "reason": "x" * 1025}
    assert problem(await ada.delete(path, params=long)) == (422, "invalid", "reason")
    assert problem(await ada.request("DELETE", path, json=long)) == (422, "invalid", "reason")
    assert problem(await ada.post(f"{path}/drain", json=long)) == (422, "invalid", "reason")
    assert (await ada.delete(path, params={"epoch": 1, "reason": "x" * 1024})).status_code == 204
    assert (await ada.get(path)).json()["status_reason"] == "x" * 1024


async def test_the_routes_of_langgraph_let_pass_what_they_do_not_know(ada: httpx.AsyncClient) -> None:
    assert (await ada.post("/threads/search?foo=1&foo=2", json={})).status_code == 200
