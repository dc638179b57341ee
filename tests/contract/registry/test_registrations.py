"""Registrations over HTTP: which fields stay, which keys and ids are refused, and in which words."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from .registry_api import INSTANCES, list_instance_ids, new_agent_id, problem, register

_DESCRIPTION: dict[str, Any] = {
    "name": "VS Code",
    "connection_details": {"url": "http://10.0.0.7:9000"},
    "runtime_config": {"model": "small"},
    "capabilities": ["code"],
    "tags": ["beta"],
    "zone": "eu",
    "version": "1.4.0",
    "agent_type": "ide",
}


async def _shown(client: httpx.AsyncClient, registration_id: str) -> Any:
    shown = (await client.get(f"{INSTANCES}/{registration_id}")).json()
    return {name: shown[name] for name in _DESCRIPTION}


async def test_a_registration_keeps_every_field_that_it_does_not_give(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    one = await register(ada, agent, **_DESCRIPTION)
    assert await _shown(ada, one["registration_id"]) == _DESCRIPTION
    for rest in ({}, dict.fromkeys(_DESCRIPTION)):
        await register(ada, agent, status=200, **rest)
        assert await _shown(ada, one["registration_id"]) == _DESCRIPTION
    expected = dict(_DESCRIPTION)
    for name, changed in (("name", "Zed"), ("connection_details", {}), ("runtime_config", {}), ("tags", [])):
        await register(ada, agent, status=200, **{name: changed})
        expected[name] = changed
        assert await _shown(ada, one["registration_id"]) == expected


@pytest.mark.parametrize("field", [*_DESCRIPTION, "health"])
async def test_an_idempotency_key_with_another_value_is_refused(ada: httpx.AsyncClient, field: str) -> None:
    agent, key = new_agent_id(), uuid4().hex
    first = await register(ada, agent, **_DESCRIPTION, idempotency_key=key)
    assert await register(ada, agent, **_DESCRIPTION, idempotency_key=key) | {"heartbeat_interval_seconds": 0} == (
        first | {"heartbeat_interval_seconds": 0}
    )
    other: Any = {"connection_details": {"x": 1}, "runtime_config": {"x": 1}, "health": "degraded"}.get(
        field, ["other"] if isinstance(_DESCRIPTION.get(field), list) else "other"
    )
    body = {"agent_id": agent, "instance_id": "c1", **_DESCRIPTION, "idempotency_key": key, field: other}
    assert problem(await ada.post(INSTANCES, json=body)) == (422, "idempotency_key_reused", "idempotency_key")
    without = {name: value for name, value in body.items() if name != field}
    if field != "health":
        assert (await ada.post(INSTANCES, json=without)).json()["code"] == "idempotency_key_reused"
    shown = (await ada.get(f"{INSTANCES}/{first['registration_id']}")).json()
    assert shown["epoch"] == 1 and {name: shown[name] for name in _DESCRIPTION} == _DESCRIPTION
    body["idempotency_key"] = "another"
    assert (await ada.post(INSTANCES, json=body)).json()["epoch"] == 2


async def test_the_order_of_members_makes_no_other_body(ada: httpx.AsyncClient) -> None:
    agent, key = new_agent_id(), uuid4().hex
    await register(ada, agent, runtime_config={"a": 1, "b": 2}, idempotency_key=key)
    assert (await register(ada, agent, runtime_config={"b": 2, "a": 1}, idempotency_key=key))["epoch"] == 1


@pytest.mark.parametrize(
    "instance_id",
    [" c1", "c1 ", "\u2003c1", "c1\u3000", "cafe\u0301", "a\u200bb", "a\nb", "\u00a0c1", "\u212b", " "],
)
async def test_an_instance_id_that_looks_like_another_is_refused(ada: httpx.AsyncClient, instance_id: str) -> None:
    answer = await ada.post(INSTANCES, json={"agent_id": new_agent_id(), "instance_id": instance_id})
    assert problem(answer) == (422, "invalid", "instance_id")
    answer = await ada.post(INSTANCES, json={"agent_id": instance_id, "instance_id": "c1"})
    assert problem(answer) == (422, "invalid", "agent_id")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("capabilities", "abc", "capabilities: Input should be a valid list"),
        ("tags", {"a": 1}, "tags: Input should be a valid list"),
        ("runtime_config", [], "runtime_config: Input should be a valid object"),
        ("capabilities", ["a"] * 65, "capabilities: List should have at most 64 items, not 65"),
    ],
)
async def test_an_error_speaks_of_json(ada: httpx.AsyncClient, field: str, value: Any, told: str) -> None:
    answer = await ada.post(INSTANCES, json={"agent_id": new_agent_id(), "instance_id": "c1", field: value})
    assert answer.json()["detail"] == told


async def test_a_refusal_names_the_agent_that_is_disabled(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await ada.put(f"/agents/configurations/{agent}", json={"enabled": False})
    answer = await ada.post(INSTANCES, json={"agent_id": agent, "instance_id": "c1"})
    assert answer.status_code == 403 and agent in answer.json()["detail"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"agent_id": "a", "instance_id": "x", "instance_id": "y"}', "instance_id"),
        ('{"agent_id": "a", "instance_id": "x", "runtime_config": {"b": [{"c": 1, "\\u0063": 2}]}}', "c"),
        ('{"agent_id": "a", "instance_id": "x", "zone": ":", "zone": "a\\":b"}', "zone"),
    ],
)
async def test_a_key_that_is_there_twice_is_refused(ada: httpx.AsyncClient, text: str, key: str) -> None:
    answer = await ada.post(INSTANCES, content=text, headers={"content-type": "application/json"})
    assert problem(answer) == (422, "duplicate_key", key)


async def test_words_are_filtered_by_either_spelling(ada: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await register(ada, agent, "both", capabilities=["a", "b"], tags=["t", "u"])
    await register(ada, agent, "one", capabilities=["a"], tags=["t"])
    for spelling in (
        {"capabilities": ["a", "b"]},
        {"capability": ["a", "b"]},
        {"capability": "a", "capabilities": "b"},
        {"tags": ["t", "u"]},
        {"tag": "t", "tags": "u"},
    ):
        assert await list_instance_ids(ada, agent_id=agent, **spelling) == ["both"]
    assert await list_instance_ids(ada, agent_id=agent, capabilities="a") == ["both", "one"]


@pytest.mark.parametrize("number", ["\u0661", "1_0", "+5", " 5", "0x5", "5.0", "\u00b2"])
async def test_a_number_is_written_as_in_json(ada: httpx.AsyncClient, number: str) -> None:
    assert problem(await ada.get(INSTANCES, params={"limit": number}))[0] == 400
