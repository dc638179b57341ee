"""Refused registrations are counted: for credentials, scopes, organizations, the body and by the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers.live_server import LiveServer
from users.demo_users import HARBOUR, MEADOW, bearer

PATH = "/agents/instances"
BODY: dict[str, Any] = {"agent_id": "counted-agent", "instance_id": "one"}


@pytest.fixture
async def root(jwt_server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with jwt_server.http(**bearer("root", permissions=("admin",))) as client:
        yield client


async def _counts(root: httpx.AsyncClient) -> dict[str, float]:
    text = (await root.get("/metrics", headers={"accept": "text/plain"})).text
    (family,) = [
        each for each in text_string_to_metric_families(text) if each.name == "agenthall_registry_registrations"
    ]
    return {sample.labels["result"]: sample.value for sample in family.samples}


async def _reader(root: httpx.AsyncClient) -> dict[str, str]:
    made = await root.post("/keys", json={"organizations": [HARBOUR], "scopes": ["agents:read"]})
    return {"x-api-key": made.json()["key"]}


async def test_each_registration_counts_once_by_what_became_of_it(
    jwt_server: LiveServer, root: httpx.AsyncClient
) -> None:
    anna, before = bearer("anna", HARBOUR), await _counts(root)
    refused: list[tuple[dict[str, str], Any, int]] = [
        ({}, BODY, 401),
        (await _reader(root), BODY, 403),
        (anna | {"x-organization-id": MEADOW}, BODY, 403),
        (anna, BODY | {"colour": "red"}, 422),
        (anna, BODY | {"agent_id": ""}, 422),
        (anna, BODY | {"agent_id": "7"}, 422),  # by the database
        (anna, [], 422),
    ]
    async with jwt_server.http() as http:
        for headers, body, status in refused:
            answer = await http.post(PATH, json=body, headers=headers)
            assert answer.status_code == status, answer.text
        one = BODY | {"instance_id": str(uuid4())}
        assert [(await http.post(PATH, json=one, headers=anna)).status_code for _ in range(3)] == [201, 200, 200]
        assert (await http.get(PATH)).status_code == 401
    after = await _counts(root)
    assert {result: after[result] - before[result] for result in after} == {
        "registered": 1,
        "reconnected": 2,
        "refused": len(refused),
        "failed": 0,
    }
