"""Models run on the server's keys, so who runs an agent does not choose the model freely."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from databases import fresh_database
from network.sse_client import problem_detail
from servers.live_server import LiveServer, live_server
from users.demo_users import HARBOUR, SECRET

from contract.conftest import UserClient, UserClientFactory, user_clients

ASKED = {"messages": [{"role": "user", "content": "hello"}]}
OTHER = "openai:gpt-4o"
FIELD = "config.configurable.model_name"


@pytest.fixture(scope="module")
async def product_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """A server with an allow-list."""
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET, "AGENTHALL_MODELS": "offline:slow*, offline:tools"}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield server


@pytest.fixture(scope="module")
async def listed(product_server: LiveServer) -> AsyncIterator[UserClientFactory]:
    async with user_clients(product_server) as make:
        yield make


def _bodies(model: Any) -> list[dict[str, Any]]:
    chosen = {"model_name": model}
    return [{"config": {"configurable": chosen}}, {"context": chosen}]


async def _check_refused(one: UserClient, model: str) -> None:
    own = (await one.http.post("/assistants", json={"graph_id": "agent"})).json()["assistant_id"]
    thread = await one.thread()
    for body in _bodies(model):
        for method, path, needed in (
            ("POST", "/runs", {"assistant_id": "agent", "input": ASKED}),
            ("POST", "/runs/wait", {"assistant_id": own, "input": ASKED}),
            ("POST", f"/threads/{thread}/runs/stream", {"assistant_id": "agent", "input": ASKED}),
            ("POST", "/assistants", {"graph_id": "agent"}),
            ("PATCH", f"/assistants/{own}", {}),
        ):
            answer = await one.http.request(method, path, json=needed | body)
            assert (answer.status_code, answer.json()["code"]) == (403, "model_not_allowed"), answer.text
            assert answer.json()["field"] == FIELD and model[:100] in problem_detail(answer)


async def test_without_a_list_a_member_runs_the_default_model_only(person: UserClientFactory) -> None:
    anna = person("anna", HARBOUR)
    for model in (OTHER, "offline:slow", "offline:dem", " offline:demo", "OFFLINE:demo", "", "x" * 1000):
        await _check_refused(anna, model)
    for body in _bodies("offline:demo") + _bodies(None):
        answer = await anna.http.post("/runs/wait", json={"assistant_id": "agent", "input": ASKED} | body)
        assert answer.json()["messages"][-1]["type"] == "ai", answer.text


@pytest.mark.parametrize("model", [5, True, ["offline:demo"], {"a": 1}])
async def test_a_model_that_is_no_text_is_refused(person: UserClientFactory, model: Any) -> None:
    anna = person("anna", HARBOUR)
    for body in _bodies(model):
        answer = await anna.http.post("/runs", json={"assistant_id": "agent", "input": ASKED} | body)
        assert (answer.status_code, answer.json()["field"]) == (422, FIELD)


async def test_without_a_list_an_administrator_may_name_any(person: UserClientFactory) -> None:
    root = person("root", permissions=("admin",))
    answer = await root.http.post("/assistants", json={"graph_id": "agent", "context": {"model_name": OTHER}})
    assert answer.status_code == 200


async def test_a_list_holds_for_all_and_the_default_is_on_it(listed: UserClientFactory) -> None:
    for one in (listed("anna", HARBOUR), listed("root", permissions=("admin",))):
        await _check_refused(one, OTHER)
        for model in ("offline:demo", "offline:slow", "offline:slower", "offline:tools"):
            made = await one.http.post("/assistants", json={"graph_id": "agent", "context": {"model_name": model}})
            assert made.status_code == 200


async def test_an_assistant_with_a_model_that_is_no_longer_allowed_does_not_run(
    product_server: LiveServer, listed: UserClientFactory
) -> None:
    anna = listed("anna", HARBOUR)
    own = (await anna.http.post("/assistants", json={"graph_id": "agent"})).json()["assistant_id"]
    connection = await asyncpg.connect(product_server.database)
    await connection.execute(
        "update agenthall.assistants set version = version + 1, config = jsonb_build_object('configurable', jsonb_build_object('model_name',"
        " $2::text)) where assistant_id = $1::uuid",
        own,
        OTHER,
    )
    await connection.close()
    answer = await anna.http.post("/runs", json={"assistant_id": own, "input": ASKED})
    assert (answer.status_code, answer.json()["code"]) == (403, "model_not_allowed")
