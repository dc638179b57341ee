"""Assistants that are rows of the catalogue: who owns which of their keys, and how soon an edit is effective."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from network.sse_client import problem_detail
from servers.live_server import LiveServer, until
from users.demo_users import FINDER, HARBOUR, MEADOW, RESEARCHER, RETIRED, SLOW

from contract.conftest import UserClient, UserClientFactory

ASKED = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def anna(person: UserClientFactory) -> UserClient:
    return person("anna", HARBOUR)


@pytest.fixture(scope="module")
def admin(person: UserClientFactory) -> UserClient:
    return person("root", permissions=("admin",))


async def added(catalogue: asyncpg.Connection, **columns: Any) -> str:
    """A new agent of Harbour Law."""
    given = {"id": uuid4(), "organization_id": HARBOUR, "name": "New", "system_prompt": "You are new."} | columns
    given["engine_id"] = "e1000000-0000-4000-8000-000000000001"
    places = ", ".join(f"${number}" for number in range(1, len(given) + 1))
    await catalogue.execute(f"insert into public.agents ({', '.join(given)}) values ({places})", *given.values())
    return str(given["id"])


async def prompt_of(one: UserClient, agent: str) -> str:
    return str((await one.http.get(f"/assistants/{agent}")).json()["config"]["configurable"]["system_prompt"])


async def test_an_agent_is_served_as_an_assistant(anna: UserClient) -> None:
    assistant: Any = await anna.sdk.assistants.get(RESEARCHER)
    configurable = assistant["config"]["configurable"]
    assert (assistant["name"], assistant["graph_id"]) == ("Legal Researcher", "agent")
    assert assistant["metadata"]["supabase_agent_id"] == RESEARCHER
    assert (configurable["model_name"], configurable["temperature"]) == ("offline:demo", 0.2)
    assert len(configurable["mcp_config"]["servers"]) == 1, "both URLs of the test's catalogue are the same"
    assert assistant["context"] == configurable


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "mine"}, "name"),
        ({"description": None}, "description"),
        ({"graph_id": "echo"}, "graph_id"),
        ({"context": {"system_prompt": "Obey me."}}, "system_prompt"),
        ({"config": {"configurable": {"temperature": 2}}}, "temperature"),
        ({"config": {"configurable": {"top_p": 0.1}}}, "top_p"),
        ({"metadata": {"supabase_organization_id": MEADOW}}, "metadata.supabase_organization_id"),
        ({"metadata": {"supabase_agent_id": FINDER}}, "metadata.supabase_agent_id"),
        ({"metadata": {"synced_at": None}}, "metadata.synced_at"),
    ],
)
async def test_what_the_catalogue_owns_is_not_changed_here(
    admin: UserClient, anna: UserClient, change: Any, named: str
) -> None:
    before = (await anna.http.get(f"/assistants/{RESEARCHER}")).json()
    answer = await admin.http.patch(f"/assistants/{RESEARCHER}", json=change)
    assert (answer.status_code, answer.json()["field"]) == (409, named)
    assert named in problem_detail(answer)
    assert (await anna.http.get(f"/assistants/{RESEARCHER}")).json()["version"] == before["version"]


SHARED = "is shared; only its owner and administrators may change it."


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"recursion_limit": 1}},
        {"config": {"tags": ["mine"]}},
        {"config": {"metadata": {"a": 1}}},
        {"config": {"configurable": {"style": "rude"}}},
        {"context": {"style": "rude"}},
        {"metadata": {"team": "mine"}},
        {"name": "mine"},
        {},
    ],
)
async def test_a_member_cannot_change_an_agent_that_others_use(anna: UserClient, change: Any) -> None:
    before = (await anna.http.get(f"/assistants/{RESEARCHER}")).json()
    answer = await anna.http.patch(f"/assistants/{RESEARCHER}", json=change)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert problem_detail(answer).endswith(SHARED)
    assert (await anna.http.get(f"/assistants/{RESEARCHER}")).json()["version"] == before["version"]
    assert (await anna.http.delete(f"/assistants/{RESEARCHER}")).status_code == 403


async def test_no_policy_lets_a_member_write_an_agent_that_others_use(jwt_server: LiveServer, anna: UserClient) -> None:
    await anna.http.get(f"/assistants/{RESEARCHER}")
    connection = await asyncpg.connect(jwt_server.database)
    try:
        async with connection.transaction():
            await connection.execute("set local role agenthall_app")
            await connection.execute("select agenthall.act_as('anna', $1, false)", f"{{{HARBOUR}}}")
            seen = await connection.fetchval(
                "select count(*) from agenthall.assistants where assistant_id = $1", UUID(RESEARCHER)
            )
            written = await connection.execute(
                "update agenthall.assistants set name = 'x' where assistant_id = $1", UUID(RESEARCHER)
            )
        assert (seen, written) == (1, "UPDATE 0")
    finally:
        await connection.close()


async def test_tags_metadata_and_keys_of_ones_own_survive_the_next_sync(
    admin: UserClient, anna: UserClient, catalogue: asyncpg.Connection
) -> None:
    change = {"metadata": {"team": "x"}, "config": {"tags": ["t"], "configurable": {"style": "short"}}}
    patched = (await admin.http.patch(f"/assistants/{SLOW}", json=change)).json()
    assert patched["config"]["tags"] == ["t"]
    assert patched["config"]["configurable"]["system_prompt"].startswith("You think aloud")
    await catalogue.execute("update public.agents set system_prompt = 'You think twice.' where id = $1", SLOW)
    await until(lambda: _equals(prompt_of(anna, SLOW), "You think twice."))
    synced = (await anna.http.get(f"/assistants/{SLOW}")).json()
    assert (synced["metadata"]["team"], synced["config"]["tags"]) == ("x", ["t"])
    assert synced["config"]["configurable"]["style"] == synced["context"]["style"] == "short"
    assert synced["version"] > patched["version"]


async def _equals(coming: Any, wanted: str) -> bool:
    return bool(await coming == wanted)


async def test_it_is_deleted_in_the_catalogue_and_not_here(admin: UserClient) -> None:
    answer = await admin.http.delete(f"/assistants/{RESEARCHER}")
    assert (answer.status_code, answer.json()["code"]) == (409, "catalogue_owned")


async def test_a_run_cannot_override_what_the_catalogue_owns_and_may_add_its_own(anna: UserClient) -> None:
    for given in ({"context": {"system_prompt": "Obey."}}, {"config": {"configurable": {"max_tokens": 1}}}):
        answer = await anna.http.post("/runs/wait", json={"assistant_id": FINDER, "input": ASKED, **given})
        assert (answer.status_code, answer.json()["code"]) == (409, "catalogue_owned")
    body = {"assistant_id": FINDER, "input": ASKED, "context": {"own": 1, "temperature": 0}}
    answer = await anna.http.post("/runs/wait", json=body)
    assert answer.json()["messages"][-1]["type"] == "ai", "what is said again unchanged does no harm"


async def test_creating_an_assistant_for_an_agent_gives_the_synced_one(anna: UserClient) -> None:
    by_metadata = await anna.sdk.assistants.create("agent", metadata={"supabase_agent_id": FINDER})
    assert (by_metadata["assistant_id"], by_metadata["name"]) == (FINDER, "Document Finder")
    by_id = await anna.sdk.assistants.create("agent", assistant_id=FINDER, name="other", if_exists="do_nothing")
    assert by_id["name"] == "Document Finder"
    unknown = {"graph_id": "agent", "metadata": {"supabase_agent_id": str(uuid4())}}
    assert (await anna.http.post("/assistants", json=unknown)).status_code == 404
    nonsense = {"graph_id": "agent", "metadata": {"supabase_agent_id": "x"}}
    assert (await anna.http.post("/assistants", json=nonsense)).status_code == 422


async def test_a_new_agent_answers_at_once_and_an_edit_is_effective_after_the_ttl(
    anna: UserClient, catalogue: asyncpg.Connection
) -> None:
    agent = await added(catalogue, name="Fresh", system_prompt="You are fresh.")
    waited: Any = await anna.sdk.runs.wait(None, agent, input=ASKED)
    assert waited["messages"][-1]["type"] == "ai"
    await catalogue.execute("update public.agents set system_prompt = 'You are stale.' where id = $1", agent)
    await until(lambda: _equals(prompt_of(anna, agent), "You are stale."))
    run = await anna.http.post("/runs", json={"assistant_id": agent, "input": ASKED})
    assert run.json()["kwargs"]["config"]["configurable"]["system_prompt"] == "You are stale."


async def test_an_unchanged_agent_keeps_its_version(anna: UserClient, catalogue: asyncpg.Connection) -> None:
    agent = await added(catalogue)
    first = (await anna.http.get(f"/assistants/{agent}")).json()
    checked = "select checked_at from agenthall.agent_sync where agent_id = $1"
    before = await catalogue.fetchval(checked, agent)

    async def is_checked_again() -> bool:
        assert (await anna.http.get(f"/assistants/{agent}")).json()["version"] == 1
        return bool(await catalogue.fetchval(checked, agent) > before)

    await until(is_checked_again)
    assert (await anna.http.get(f"/assistants/{agent}")).json() == first


async def test_a_disabled_agent_is_404_after_the_ttl(anna: UserClient, catalogue: asyncpg.Connection) -> None:
    agent = await added(catalogue)
    assert (await anna.http.get(f"/assistants/{agent}")).status_code == 200
    await catalogue.execute("update public.agents set status = 'disabled' where id = $1", agent)

    async def is_gone() -> bool:
        return (await anna.http.get(f"/assistants/{agent}")).status_code == 404

    await until(is_gone)
    assert (await anna.http.get(f"/assistants/{RETIRED}")).status_code == 404, "it never was"
    for method, path, body in (
        ("GET", f"/assistants/{agent}", None),
        ("POST", "/runs/wait", {"assistant_id": agent, "input": ASKED}),
    ):
        answer = await anna.http.request(method, path, json=body)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (404, "agent_retired", "assistant_id")
        assert "('New') is not offered" in problem["detail"] and "disabled, deleted" in problem["detail"]


async def test_a_disabled_agent_is_told_to_those_only_who_saw_it(
    anna: UserClient, person: UserClientFactory, catalogue: asyncpg.Connection
) -> None:
    agent, ben = await added(catalogue), person("ben", MEADOW)
    assert (await anna.http.get(f"/assistants/{agent}")).status_code == 200
    await catalogue.execute("update public.agents set status = 'disabled' where id = $1", agent)

    async def is_gone() -> bool:
        return (await anna.http.get(f"/assistants/{agent}")).status_code == 404

    await until(is_gone)
    assert "agent_retired" in (await anna.http.get(f"/assistants/{agent}")).text
    for path, body in ((f"/assistants/{agent}", None), ("/runs/wait", {"assistant_id": agent, "input": ASKED})):
        answer = await ben.http.request("GET" if body is None else "POST", path, json=body)
        assert answer.status_code == 404 and "agent_retired" not in answer.text and "New" not in answer.text


@pytest.mark.parametrize(
    ("broken", "column"),
    [
        ({"sampling_params": '{"temperature": "hot"}'}, "sampling_params"),
        ({"sampling_params": '{"base_url": "http://evil"}'}, "sampling_params"),
        ({"graph_id": "nope"}, "graph_id"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_malformed_agent_is_an_error_that_names_the_column_and_never_a_bare_assistant(
    anna: UserClient, catalogue: asyncpg.Connection, broken: dict[str, Any], column: str
) -> None:
    agent = await added(catalogue, **broken)
    for method, path, body in (
        ("GET", f"/assistants/{agent}", None),
        ("POST", "/runs/wait", {"assistant_id": agent, "input": ASKED}),
        ("POST", "/assistants", {"graph_id": "agent", "metadata": {"supabase_agent_id": agent}}),
        ("POST", "/assistants", {"graph_id": "agent", "assistant_id": agent}),
    ):
        answer = await anna.http.request(method, path, json=body)
        assert answer.json()["code"] == "agent_rejected", answer.text
        assert answer.status_code == 409
        assert column in problem_detail(answer) and agent in problem_detail(answer)
    await catalogue.execute("delete from public.agents where id = $1", agent)


async def test_the_id_of_a_foreign_agent_that_nobody_has_asked_for_yet_cannot_be_taken(
    anna: UserClient, person: UserClientFactory, catalogue: asyncpg.Connection
) -> None:
    agent = await added(catalogue, organization_id=MEADOW)
    body = {"graph_id": "echo", "assistant_id": agent, "if_exists": "do_nothing"}
    assert (await anna.http.post("/assistants", json=body)).status_code == 409
    mark = person("mark", MEADOW)
    assert (await mark.http.get(f"/assistants/{agent}")).json()["name"] == "New"
