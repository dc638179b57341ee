"""Limits of requests: each caller has a budget, and each reply tells what is left of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from servers.live_server import LiveServer, live_server
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer


@pytest.fixture
async def server(database: str) -> AsyncIterator[LiveServer]:
    async with live_server(
        database,
        AUTH_MODE="jwt",
        AUTH_JWT_SECRET=SECRET,
        AGENTHALL_REQUESTS_PER_PRINCIPAL="4",
        AGENTHALL_REQUESTS_PER_ORGANIZATION="6",
    ) as server:
        yield server


async def _ask(http: httpx.AsyncClient, path: str = "/assistants/count") -> httpx.Response:
    return await http.post(path, json={})


def _left(answer: httpx.Response) -> dict[str, int]:
    return {name: int(left) for name, left in re.findall(r'"(\w+)";r=(\d+);t=\d+', answer.headers["ratelimit"])}


async def test_replies_tell_the_budget_and_a_request_beyond_it_is_refused(server: LiveServer) -> None:
    async with server.http(**bearer("anna", HARBOUR)) as anna, server.http(**bearer("ben", HARBOUR)) as ben:
        first = await _ask(anna)
        assert first.status_code == 200
        assert first.headers["ratelimit-policy"] == '"principal";q=4;w=60, "organization";q=6;w=60'
        assert _left(first) == {"principal": 3, "organization": 5}
        missing = await _ask(anna, "/assistants/search?limit=no")
        assert missing.status_code == 422 or _left(missing)
        assert _left(missing) == {"principal": 2, "organization": 4}
        answers = [await _ask(anna) for _ in range(3)]
        assert [each.status_code for each in answers] == [200, 200, 429]
        refused = answers[2]
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 15
        assert _left(refused)["principal"] == 0
        assert [(await _ask(ben)).status_code for _ in range(3)] == [200, 200, 429]  # the organization has six
        assert (await anna.get("/info")).status_code == (await anna.get("/ok")).status_code == 200


async def test_a_request_that_the_organization_s_budget_refuses_costs_the_caller_nothing(server: LiveServer) -> None:
    async with (
        server.http(**bearer("anna", HARBOUR)) as anna,
        server.http(**bearer("ben", HARBOUR)) as ben,
        server.http(**bearer("ben", MEADOW)) as ben_elsewhere,
    ):
        for _ in range(4):
            await _ask(anna)
        assert [(await _ask(ben)).status_code for _ in range(4)] == [200, 200, 429, 429]
        assert _left(await _ask(ben_elsewhere)) == {"principal": 1, "organization": 5}


async def test_without_limits_replies_have_no_such_headers(server: LiveServer, database: str) -> None:
    async with live_server(database) as other, other.http() as http:
        answer = await _ask(http)
        assert answer.status_code == 200 and not {"ratelimit", "ratelimit-policy"} & answer.headers.keys()
