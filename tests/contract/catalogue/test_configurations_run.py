"""AGENT_SYNC_SOURCES=catalogue,configurations over the wire: a type of agent that a tenant configured can be run
here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import fresh_database, prepared_database
from network.sse_client import problem_detail
from servers.live_server import LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET

from contract.conftest import UserClient, UserClientFactory

ASKED: Any = {"messages": [{"role": "user", "content": "hello"}]}
PUT = {"model_id": "offline:demo", "system_prompt": "You answer on Slack."}


@pytest.fixture(scope="module")
async def product_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """Both sources; the catalogue has no feed, passes are far away, and an agent counts as fresh for an hour."""
    settings = {
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_SOURCES": "catalogue,configurations",
        "AGENT_SYNC_CACHE_TTL": "3600",
        "AGENT_SYNC_EVERY": "3600",
    }
    async with (
        prepared_database(postgres, template, TABLES) as url,
        live_server(url, **settings) as running,
    ):
        yield running


@pytest.fixture
async def slack_bot(anna: UserClient) -> str:
    """The id of a configuration that is served."""
    agent_id = f"slack-bot-{uuid4().hex[:8]}"
    answer = await anna.http.put(f"/agents/configurations/{agent_id}", json=PUT)
    assert answer.status_code == 201, answer.text
    config_id = str(answer.json()["config_id"])
    await until(lambda: is_found(anna, config_id))
    return config_id


async def found(one: UserClient, config_id: str) -> list[Any]:
    """By a search, which never syncs."""
    answer = await one.http.post(
        "/assistants/search", json={"metadata": {"agent_source": "configuration"}, "limit": 100}
    )
    return [each for each in answer.json() if each["assistant_id"] == config_id]


async def is_found(one: UserClient, config_id: str) -> bool:
    return bool(await found(one, config_id))


async def path_of(one: UserClient, config_id: str) -> str:
    (assistant,) = await found(one, config_id)
    return f"/agents/configurations/{assistant['metadata']['agent_id']}"


async def prompt_of(one: UserClient, config_id: str) -> Any:
    (assistant,) = await found(one, config_id)
    return assistant["config"]["configurable"].get("system_prompt")


async def test_a_configured_type_is_run_by_the_configurations_id(anna: UserClient, slack_bot: str) -> None:
    thread = await anna.thread()
    waited: Any = await anna.sdk.runs.wait(thread, slack_bot, input=ASKED)
    assert waited["messages"][-1]["type"] == "ai"
    (run,) = await anna.sdk.runs.list(thread)
    assert run["assistant_id"] == slack_bot


async def test_it_is_an_assistant_that_names_its_source_and_is_its_tenants_alone(
    anna: UserClient, user: UserClientFactory, slack_bot: str
) -> None:
    assistant = (await anna.http.get(f"/assistants/{slack_bot}")).json()
    assert assistant["graph_id"] == "agent"
    assert assistant["config"]["configurable"]["model_name"] == "offline:demo"
    assert assistant["metadata"]["agent_source"] == "configuration"
    assert assistant["metadata"]["agent_id"].startswith("slack-bot-")
    foreign = user("mark", MEADOW)
    assert (await foreign.http.get(f"/assistants/{slack_bot}")).status_code == 404
    run = await foreign.http.post("/runs/wait", json={"assistant_id": slack_bot, "input": ASKED})
    assert run.status_code == 404


async def test_the_name_of_the_type_names_its_assistant(
    anna: UserClient, product_database: asyncpg.Connection[Any], slack_bot: str
) -> None:
    (assistant,) = await found(anna, slack_bot)
    name = assistant["metadata"]["agent_id"]
    thread = await anna.thread()
    await anna.sdk.runs.wait(thread, name, input=ASKED)
    (run,) = await anna.sdk.runs.list(thread)
    assert run["assistant_id"] == slack_bot
    await product_database.execute("delete from agenthall.assistants where assistant_id = $1", UUID(slack_bot))
    await product_database.execute("delete from agenthall.agent_sync where agent_id = $1", UUID(slack_bot))
    assert (await anna.sdk.assistants.get(name))["assistant_id"] == slack_bot, "synced on its first reference"


async def test_an_edit_is_live_before_anybody_asks(anna: UserClient, slack_bot: str) -> None:
    await anna.http.patch(await path_of(anna, slack_bot), json={"system_prompt": "You answer politely."})
    await until(lambda: _is(prompt_of(anna, slack_bot), "You answer politely."))
    assert (await anna.http.get(f"/assistants/{slack_bot}")).json()["version"] == 2


async def _is(asked: Any, wanted: Any) -> bool:
    return bool(await asked == wanted)


async def test_one_that_is_disabled_cannot_be_run_and_comes_back(anna: UserClient, slack_bot: str) -> None:
    path = await path_of(anna, slack_bot)
    await anna.http.patch(path, json={"enabled": False})
    await until(lambda: _status_is(anna, slack_bot, 404))
    assert (await anna.http.post("/runs/wait", json={"assistant_id": slack_bot, "input": ASKED})).status_code == 404
    await anna.http.patch(path, json={"enabled": True})
    await until(lambda: is_found(anna, slack_bot))


async def test_one_that_is_deleted_is_gone(anna: UserClient, slack_bot: str) -> None:
    assert (await anna.http.delete(await path_of(anna, slack_bot))).status_code == 204
    await until(lambda: _status_is(anna, slack_bot, 404))


async def _status_is(one: UserClient, config_id: str, status: int) -> bool:
    return (await one.http.get(f"/assistants/{config_id}")).status_code == status


async def test_what_the_configuration_owns_is_changed_there(
    admin: UserClient, anna: UserClient, slack_bot: str
) -> None:
    for change in ({"name": "mine"}, {"metadata": {"agent_source": "catalogue"}}):
        answer = await admin.http.patch(f"/assistants/{slack_bot}", json=change)
        assert answer.status_code == 409, answer.text
        assert (await anna.http.patch(f"/assistants/{slack_bot}", json=change)).status_code == 403
    assert (await admin.http.patch(f"/assistants/{slack_bot}", json={"metadata": {"mine": 1}})).status_code == 200


async def test_a_pass_over_both_sources_keeps_both_and_counts_each(
    admin: UserClient, anna: UserClient, catalogue_writer: CatalogueWriter, slack_bot: str
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    report = (await admin.http.post("/agents/sync", json={})).json()
    assert report["sources"]["catalogue"]["created"] == 1
    assert report["sources"]["configurations"]["skipped"] >= 1
    assert report["counters"]["retired"] == 0
    assert report["counters"]["total"] == sum(each["total"] for each in report["sources"].values())
    again = (await admin.http.post("/agents/sync", json={"dry_run": True})).json()
    assert (again["counters"]["retired"], again["changes"]) == (0, [])
    for assistant in (agent, slack_bot):
        assert (await anna.http.get(f"/assistants/{assistant}")).status_code == 200


async def test_the_status_tells_of_each_source(admin: UserClient, slack_bot: str) -> None:
    await admin.http.post("/agents/sync", json={})
    status = (await admin.http.get("/agents/sync")).json()
    own = status["sources"]["configurations"]
    assert own["contract"] == {"reachable": True, "problems": [], "absent_columns": [], "can_write_back": False}
    assert (own["feed_connected"], own["feed"]["installed"]) == (True, True)
    assert (own["last_pass"]["source"], own["last_pass"]["scope"]) == ("configurations", "all")
    assert status["last_pass"]["source"] == "catalogue"
    assert status["sources"]["catalogue"]["last_pass"] == status["last_pass"]


async def test_one_configuration_is_synced_on_request(admin: UserClient, slack_bot: str) -> None:
    report = (await admin.http.post("/agents/sync", json={"agent_id": slack_bot})).json()
    assert report["sources"] == {"configurations": report["counters"]}
    assert report["counters"]["skipped"] == 1
    unknown = await admin.http.post("/agents/sync", json={"agent_id": str(uuid4())})
    assert unknown.status_code == 404, problem_detail(unknown)


async def test_on_its_first_reference_it_is_synced_alone(
    anna: UserClient, product_database: asyncpg.Connection[Any], slack_bot: str
) -> None:
    await product_database.execute("delete from agenthall.assistants where assistant_id = $1", UUID(slack_bot))
    await product_database.execute("delete from agenthall.agent_sync where agent_id = $1", UUID(slack_bot))
    assert (await anna.http.get(f"/assistants/{slack_bot}")).json()["assistant_id"] == slack_bot


async def test_a_catalogue_that_is_broken_does_not_take_configurations_with_it(
    admin: UserClient, anna: UserClient, product_database: asyncpg.Connection[Any], slack_bot: str
) -> None:
    await product_database.execute("alter table public.agents rename column system_prompt to prompt")
    try:
        await product_database.execute("update agenthall.agent_sync set checked_at = now() - interval '1 day'")
        assert (await anna.http.get(f"/assistants/{slack_bot}")).status_code == 200
        answer = await admin.http.post("/agents/sync", json={})
        assert (answer.status_code, "system_prompt" in problem_detail(answer)) == (503, True)
    finally:
        await product_database.execute("alter table public.agents rename column prompt to system_prompt")


async def test_a_source_that_is_switched_off_goes_out_of_service(postgres: str, template: str) -> None:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        config_id = await connection.fetchval(
            "with m as (insert into mcp.agent_manifests (agent_id) values ('slack-bot') returning id)"
            " insert into mcp.agent_configurations (tenant_id, manifest_id, name, system_prompt)"
            " select gen_random_uuid(), m.id, 'slack-bot', 'x' from m returning id"
        )
        retired = "select retired_at is not null from agenthall.assistants where assistant_id = $1"
        async with live_server(url, workers=0, AGENT_SYNC_SCOPE="all", AGENT_SYNC_SOURCES="configurations") as server:
            async with server.http() as client:
                await until(lambda: _is(_get(client, f"/assistants/{config_id}"), 200))
            assert await connection.fetchval(retired, config_id) is False
        async with live_server(url, workers=0, AGENT_SYNC_SCOPE="all"):
            await until(lambda: connection.fetchval(retired, config_id))
        await connection.close()


async def _get(client: httpx.AsyncClient, path: str) -> int:
    return (await client.get(path)).status_code
