"""Operators' switches over HTTP: cordons and disabled configurations, and what watchers see of them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from deadlines import DEADLINE
from network.sse_client import open_stream

from .registry_api import CONFIGURATIONS, INSTANCES, list_instance_ids, new_agent_id, problem, register


async def test_a_cordoned_instance_is_left_out_shown_and_brought_back(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    path = f"{INSTANCES}/{(await register(ada, agent))['registration_id']}"
    cordoned = await ada.post(f"{path}/cordon", json={"reason": "answers nonsense"})
    assert cordoned.status_code == 200
    shown = cordoned.json()
    assert (shown["cordon_reason"], shown["cordoned_by"], shown["registration_status"]) == (
        "answers nonsense",
        "ada",
        "active",
    )
    assert shown["cordoned_at"] and (await ada.get(path)).json() == shown
    assert await list_instance_ids(ada, agent_id=agent) == []
    assert await list_instance_ids(ada, agent_id=agent, status="active") == ["c1"]
    again = await register(ada, agent, status=200)
    assert await list_instance_ids(ada, agent_id=agent) == []
    beat = (await ada.post(f"{path}/heartbeat", json={"epoch": again["epoch"]})).json()
    assert (beat["enabled"], beat["cordoned"]) == (True, True)
    uncordoned = (await ada.post(f"{path}/uncordon")).json()
    assert (uncordoned["cordoned_at"], uncordoned["cordon_reason"]) == (None, None)
    assert await list_instance_ids(ada, agent_id=agent) == ["c1"]


async def test_a_disabled_configuration_takes_effect_at_once(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    one = await register(ada, agent)
    path = f"{INSTANCES}/{one['registration_id']}"
    assert (await ada.patch(f"{CONFIGURATIONS}/{agent}", json={"enabled": False})).status_code == 200
    assert await list_instance_ids(ada, agent_id=agent) == []
    beat = await ada.post(f"{path}/heartbeat", json={"epoch": 1})
    assert (beat.status_code, beat.json()["enabled"]) == (200, False)
    refused = await ada.post(INSTANCES, json={"agent_id": agent, "instance_id": "c2"})
    assert problem(refused) == (403, "configuration_disabled", "agent_id")
    assert (await ada.patch(f"{CONFIGURATIONS}/{agent}", json={"enabled": True})).status_code == 200
    assert await list_instance_ids(ada, agent_id=agent) == ["c1"]


@pytest.mark.parametrize(
    ("body", "field"), [({"reason": 7}, "reason"), ({"reason": "x" * 1025}, "reason"), ({"epoch": 1}, "epoch")]
)
async def test_a_wrong_cordon_names_the_field(ada: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    path = f"{INSTANCES}/{(await register(ada, new_agent_id()))['registration_id']}"
    assert problem(await ada.post(f"{path}/cordon", json=body)) == (422, "invalid", field)
    assert (await ada.get(path)).json()["cordoned_at"] is None


async def test_another_organization_finds_nothing_to_cordon(ada: httpx.AsyncClient, mia: httpx.AsyncClient) -> None:
    path = f"{INSTANCES}/{(await register(ada, new_agent_id()))['registration_id']}"
    for verb in ("cordon", "uncordon"):
        assert problem(await mia.post(f"{path}/{verb}", json={})) == (404, "not_found", "registration_id")
    assert (await ada.get(path)).json()["cordoned_at"] is None


async def test_watchers_see_cordons(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    path = f"{INSTANCES}/{(await register(ada, agent))['registration_id']}"
    position = (await ada.get(INSTANCES, params={"agent_id": agent})).json()["position"]
    await ada.post(f"{path}/cordon", json={"reason": "why"})
    await ada.post(f"{path}/uncordon")
    params = {"agent_id": agent, "after": position}
    async with asyncio.timeout(DEADLINE), open_stream(ada, "GET", "/agents/watch", params=params) as stream:
        seen = []
        while len(seen) < 2:
            event = await stream.next()
            assert event is not None
            if event.data.get("kind") in {"cordoned", "uncordoned"}:
                seen.append((event.data["kind"], event.data["instance"]["cordon_reason"]))
    assert seen == [("cordoned", "why"), ("uncordoned", None)]
