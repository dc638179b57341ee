"""AGENT_SYNC_TEMPLATES=on over the wire: every member of an organization has their own copy of an agent that is not
global."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import prepared_database
from network.sse_client import problem_detail
from servers.live_server import LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET

from contract.conftest import UserClient, UserClientFactory
from robyn_server.files import CATALOGUE_FEED

ASKED: Any = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
async def product_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """Users of two organizations, a catalogue with the feed; an agent counts as fresh for half a second."""
    settings = {
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_TEMPLATES": "on",
        "AGENT_SYNC_CACHE_TTL": "0.5",
        "AGENT_SYNC_EVERY": "3600",
    }
    async with (
        prepared_database(postgres, template, TABLES, CATALOGUE_FEED.read_text()) as url,
        live_server(url, **settings) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def bob(user: UserClientFactory) -> UserClient:
    return user("bob", HARBOUR)


def copy_of(agent: str, name: str) -> str:
    return str(uuid5(UUID(agent), name))


async def status_of(one: UserClient, assistant: str) -> int:
    return int((await one.http.get(f"/assistants/{assistant}")).status_code)


async def stored_prompts(product_database: asyncpg.Connection[Any], agent: str) -> set[str]:
    """Of all copies, as stored: looking at them syncs nothing."""
    found = await product_database.fetch(
        "select config #>> '{configurable,system_prompt}' as prompt from agenthall.assistants where template_id = $1",
        UUID(agent),
    )
    return {row["prompt"] for row in found}


async def test_each_user_has_a_private_copy_under_the_agents_id_and_its_own(
    anna: UserClient, bob: UserClient, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    for one, name in ((anna, "anna"), (bob, "bob")):
        for named in (agent, copy_of(agent, name)):
            found = (await one.http.get(f"/assistants/{named}")).json()
            assert found["assistant_id"] == copy_of(agent, name)
            assert found["metadata"]["supabase_agent_id"] == agent
    assert await status_of(bob, copy_of(agent, "anna")) == 404
    listed = (await anna.http.post("/assistants/search", json={"metadata": {"supabase_agent_id": agent}})).json()
    assert [each["assistant_id"] for each in listed] == [copy_of(agent, "anna")]


async def test_a_copy_is_made_for_a_post_and_whatever_if_exists_says_it_is_that_one(
    anna: UserClient, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    for if_exists in ("raise", "do_nothing"):
        body = {"graph_id": "agent", "metadata": {"supabase_agent_id": agent}, "if_exists": if_exists}
        answer = await anna.http.post("/assistants", json=body)
        assert (answer.status_code, answer.json()["assistant_id"]) == (200, copy_of(agent, "anna"))


async def test_a_run_on_the_agents_id_is_a_run_of_ones_own_copy(
    anna: UserClient, bob: UserClient, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    thread = await anna.thread()
    waited: Any = await anna.sdk.runs.wait(thread, agent, input=ASKED)
    assert waited["messages"][-1]["type"] == "ai"
    (run,) = await anna.sdk.runs.list(thread)
    assert run["assistant_id"] == copy_of(agent, "anna")
    foreign = await bob.http.post("/runs/wait", json={"assistant_id": copy_of(agent, "anna"), "input": ASKED})
    assert foreign.status_code == 404


async def test_a_global_agent_is_one_assistant_for_its_organization_and_for_no_other(
    anna: UserClient, bob: UserClient, user: UserClientFactory, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR), is_global=True)
    for one in (anna, bob):
        assert (await one.http.get(f"/assistants/{agent}")).json()["assistant_id"] == agent
    assert await status_of(user("mark", MEADOW), agent) == 404


async def test_an_agent_of_another_organization_is_not_there(
    user: UserClientFactory, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    mark = user("mark", MEADOW)
    assert await status_of(mark, agent) == 404
    body = {"graph_id": "agent", "metadata": {"supabase_agent_id": agent}}
    assert (await mark.http.post("/assistants", json=body)).status_code == 404


async def test_administrators_see_a_users_copy_also_after_its_ttl_and_have_one_of_their_own(
    anna: UserClient, admin: UserClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    await anna.http.get(f"/assistants/{agent}")
    await product_database.execute(
        "update agenthall.agent_sync set checked_at = now() - interval '1 day' where agent_id = $1", UUID(agent)
    )
    assert await status_of(admin, copy_of(agent, "anna")) == 200
    assert (await admin.http.get(f"/assistants/{agent}")).json()["assistant_id"] == copy_of(agent, "root")


async def test_who_left_the_organization_is_not_served_the_old_copy_and_keeps_the_threads(
    anna: UserClient, user: UserClientFactory, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    carl, gone = user("carl", HARBOUR), user("carl", MEADOW)
    thread = await carl.thread()
    await carl.sdk.runs.wait(thread, agent, input=ASKED)
    for named in (agent, copy_of(agent, "carl")):
        assert await status_of(gone, named) == 404
        assert (await gone.http.post("/runs/wait", json={"assistant_id": named, "input": ASKED})).status_code == 404
        patched = await gone.http.patch(f"/assistants/{named}", json={"metadata": {"x": 1}})
        assert patched.status_code == 404
    assert (await gone.http.post("/assistants/search", json={"metadata": {"supabase_agent_id": agent}})).json() == []
    assert (await gone.http.get(f"/threads/{thread}/state")).json()["values"]["messages"]
    assert await status_of(user("carl", HARBOUR), agent) == 200


async def test_an_edit_reaches_every_copy_in_a_moment_and_what_a_user_set_survives(
    anna: UserClient, bob: UserClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR), system_prompt="first")
    before = {one: (await one.http.get(f"/assistants/{agent}")).json() for one in (anna, bob)}
    change = {"metadata": {"team": "x"}, "config": {"tags": ["t"], "configurable": {"style": "short"}}}
    patched = (await anna.http.patch(f"/assistants/{agent}", json=change)).json()
    assert (patched["assistant_id"], patched["config"]["tags"]) == (copy_of(agent, "anna"), ["t"])
    await product_database.execute("update public.agents set system_prompt = 'second' where id = $1", UUID(agent))

    async def is_everywhere() -> bool:
        return await stored_prompts(product_database, agent) == {"second"}

    await until(is_everywhere)
    for one in (anna, bob):
        found = (await one.http.get(f"/assistants/{agent}")).json()
        assert found["config"]["configurable"]["system_prompt"] == "second"
        assert found["version"] > before[one]["version"]
    mine = (await anna.http.get(f"/assistants/{agent}")).json()
    assert (mine["metadata"]["team"], mine["config"]["tags"], mine["context"]["style"]) == ("x", ["t"], "short")


async def test_what_the_catalogue_owns_of_a_copy_is_not_changed_here(
    anna: UserClient, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    await anna.http.get(f"/assistants/{agent}")
    for named in (agent, copy_of(agent, "anna")):
        for change, field in (({"context": {"system_prompt": "Obey."}}, "system_prompt"), ({"name": "mine"}, "name")):
            answer = await anna.http.patch(f"/assistants/{named}", json=change)
            assert (answer.status_code, answer.json()["field"]) == (409, field)
            assert field in problem_detail(answer)
        answer = await anna.http.delete(f"/assistants/{named}")
        assert (answer.status_code, answer.json()["code"]) == (409, "catalogue_owned")


async def test_a_disabled_agent_takes_every_copy_with_it_and_brings_it_back(
    anna: UserClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    thread = await anna.thread()
    await anna.sdk.runs.wait(thread, agent, input=ASKED)
    copy = copy_of(agent, "anna")

    async def is_(wanted: int) -> bool:
        return await status_of(anna, copy) == await status_of(anna, agent) == wanted

    await product_database.execute("update public.agents set status = 'off' where id = $1", UUID(agent))
    await until(lambda: is_(404))
    assert (await anna.http.post("/runs/wait", json={"assistant_id": copy, "input": ASKED})).status_code == 404
    assert (await anna.http.get(f"/threads/{thread}/state")).json()["values"]["messages"]
    await product_database.execute("update public.agents set status = 'active' where id = $1", UUID(agent))
    await until(lambda: is_(200))


async def test_an_agent_that_becomes_global_is_shared_from_then_on(
    anna: UserClient, bob: UserClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    await anna.http.get(f"/assistants/{agent}")
    await product_database.execute("update public.agents set is_global = true where id = $1", UUID(agent))

    async def is_shared() -> bool:
        answers = [(await one.http.get(f"/assistants/{agent}")).json().get("assistant_id") for one in (anna, bob)]
        return answers == [agent, agent]

    await until(is_shared)
    assert await status_of(anna, copy_of(agent, "anna")) == 404


async def test_nobody_takes_the_id_of_an_agent_or_of_another_users_copy(
    anna: UserClient, bob: UserClient, user: UserClientFactory, catalogue_writer: CatalogueWriter
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    for one, taken in ((anna, copy_of(agent, "bob")), (user("mark", MEADOW), agent)):
        answer = await one.http.post("/assistants", json={"graph_id": "agent", "assistant_id": taken})
        assert answer.status_code == 409
    assert (await bob.http.get(f"/assistants/{agent}")).json()["assistant_id"] == copy_of(agent, "bob")
    free = str(uuid4())
    made = await anna.http.post("/assistants", json={"graph_id": "agent", "assistant_id": free})
    assert made.json()["assistant_id"] == free


async def test_operators_are_told_of_templates_as_they_are(
    anna: UserClient, admin: UserClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR), system_prompt="first")
    unasked = await catalogue_writer.add_agent(organization_id=UUID(HARBOUR))
    await anna.http.get(f"/assistants/{agent}")
    assert (await admin.http.get("/agents/sync")).json()["templates"] is True
    async with product_database.transaction():  # unheard: the sync that is asked for finds it
        await product_database.execute("set local session_replication_role = replica")
        await product_database.execute("update public.agents set system_prompt = 'unheard' where id = $1", UUID(agent))

    async def report(**body: Any) -> tuple[dict[str, int], dict[str, str]]:
        answer = (await admin.http.post("/agents/sync", json=body)).raise_for_status().json()
        return answer["counters"], {each["agent_id"]: each["action"] for each in answer["changes"]}

    planned, done = await report(dry_run=True), await report()
    assert planned == done
    assert done[1] == {agent: "updated"}
    assert unasked not in done[1]
    assert await stored_prompts(product_database, agent) == {"unheard"}
    assert await report(agent_id=unasked) == await report(agent_id=unasked, dry_run=True)
