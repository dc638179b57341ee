"""An edit of the catalogue is live on every replica, and what is gone is gone.

Only the feed can tell of it within a deadline: a cached agent is fresh for five minutes, and passes are an hour apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import fresh_database, prepared_database
from servers.live_server import LiveServer, live_server, until

from robyn_server.files import CATALOGUE_FEED

FEED = CATALOGUE_FEED.read_text()


@pytest.fixture(scope="module")
async def product_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """Two web processes on a catalogue with the feed installed."""
    async with (
        prepared_database(postgres, template, TABLES, FEED) as url,
        live_server(url, webs=2, AGENT_SYNC_SCOPE="all", AGENT_SYNC_EVERY="3600") as server,
    ):
        yield server


async def status_of(server: LiveServer, agent_id: str) -> int:
    async with server.http() as client:
        return (await client.get(f"/assistants/{agent_id}")).status_code


async def prompt_of(server: LiveServer, agent_id: str) -> str | None:
    """As stored: a search never syncs."""
    found = await server.sdk().assistants.search(metadata={"supabase_agent_id": agent_id})
    return found[0]["config"]["configurable"].get("system_prompt") if found else None


async def test_an_insert_is_there_before_anybody_asks_for_it(
    product_server: LiveServer, catalogue_writer: CatalogueWriter
) -> None:
    agent_id = await catalogue_writer.add_agent(system_prompt="new")
    await until(lambda: _is(prompt_of(product_server, agent_id), "new"))


async def _is(found: Any, wanted: Any) -> bool:
    return bool(await found == wanted)


async def test_an_edited_prompt_is_live_in_a_moment(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = await catalogue_writer.add_agent(system_prompt="first")
    await until(lambda: _is(prompt_of(product_server, agent_id), "first"))
    await product_database.execute("update public.agents set system_prompt = 'second' where id = $1", UUID(agent_id))
    await until(lambda: _is(prompt_of(product_server, agent_id), "second"))
    version = (await product_server.sdk().assistants.get(agent_id))["version"]
    assert version == 2, "two replicas heard of it, and one version came of it"


async def test_an_edit_of_a_shared_model_reaches_its_agents(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = await catalogue_writer.add_agent(model="offline:demo")
    await until(lambda: _is(status_of(product_server, agent_id), 200))
    await product_database.execute(
        """update public.ai_models m set runtime_model_name = 'offline:other' from public.global_ai_engines e, public.agents a
            where m.id = e.language_model_id and e.id = a.engine_id and a.id = $1""",
        UUID(agent_id),
    )

    async def model() -> str:
        found = await product_server.sdk().assistants.search(metadata={"supabase_agent_id": agent_id})
        return str(found[0]["config"]["configurable"]["model_name"])

    await until(lambda: _is(model(), "offline:other"))


@pytest.mark.parametrize("how", ["status = 'disabled'", "deleted_at = now()"])
async def test_a_disabled_agent_stops_and_comes_back(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any], how: str
) -> None:
    agent_id = await catalogue_writer.add_agent()
    client = product_server.sdk()
    await until(lambda: _is(status_of(product_server, agent_id), 200))
    thread = (await client.threads.create())["thread_id"]
    said = {"messages": [{"role": "user", "content": "before"}]}
    await client.runs.wait(thread, agent_id, input=said)
    await product_database.execute(f"update public.agents set {how} where id = $1", UUID(agent_id))
    await until(lambda: _is(status_of(product_server, agent_id), 404))
    async with product_server.http() as http:
        refused = await http.post(f"/threads/{thread}/runs", json={"assistant_id": agent_id, "input": said})
        assert refused.status_code == 404
        assert (await http.patch(f"/assistants/{agent_id}", json={"metadata": {"a": 1}})).status_code == 404
    assert await client.assistants.search(metadata={"supabase_agent_id": agent_id}) == []
    assert len((await client.threads.get_state(thread))["values"]["messages"]) == 2, "its threads keep their history"
    await product_database.execute(
        "update public.agents set status = 'active', deleted_at = null where id = $1", UUID(agent_id)
    )
    await until(lambda: _is(status_of(product_server, agent_id), 200))
    again = await client.runs.wait(thread, agent_id, input={"messages": [{"role": "user", "content": "after"}]})
    assert len(again["messages"]) == 4


async def test_a_run_in_flight_finishes_on_what_it_began_with(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = await catalogue_writer.add_agent(model="offline:slow", system_prompt="You are the old one.")
    await until(lambda: _is(status_of(product_server, agent_id), 200))
    client = product_server.sdk()
    thread = (await client.threads.create())["thread_id"]
    seen = []
    async for part in client.runs.stream(
        thread,
        agent_id,
        input={"messages": [{"role": "user", "content": "tell me about yourself"}]},
        stream_mode=["messages-tuple", "values"],
    ):
        seen.append(part)
        if len(seen) == 3:
            await product_database.execute("delete from public.agents where id = $1", UUID(agent_id))
            await until(lambda: _is(status_of(product_server, agent_id), 404))
    assert (await client.runs.list(thread))[0]["status"] == "success"
    assert seen[-1].data["messages"][-1]["type"] == "ai"


async def test_a_malformed_edit_leaves_the_assistant_as_it_was_and_says_why(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = await catalogue_writer.add_agent(system_prompt="good")
    await until(lambda: _is(prompt_of(product_server, agent_id), "good"))
    await product_database.execute(
        """update public.agents set sampling_params = '{"base_url": "http://evil"}', system_prompt = 'bad' where id = $1""",
        UUID(agent_id),
    )

    async def failure() -> str | None:
        return await product_database.fetchval(
            "select failure from agenthall.agent_sync where agent_id = $1", UUID(agent_id)
        )

    assert "base_url" in await until(failure)
    assert await prompt_of(product_server, agent_id) == "good"


@pytest.mark.parametrize("scope", ["all", "org:{organization}"])
async def test_without_the_feed_the_next_pass_finds_edits_and_what_is_gone(
    postgres: str, template: str, scope: str
) -> None:
    organization = uuid4()
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        catalogue_writer = CatalogueWriter(connection)
        kept, gone = [await catalogue_writer.add_agent(organization_id=organization) for _ in range(2)]
        settings = {"AGENT_SYNC_SCOPE": scope.format(organization=organization), "AGENT_SYNC_EVERY": "0.3"}
        async with live_server(url, workers=0, **settings) as server:
            assert [await status_of(server, each) for each in (kept, gone)] == [200, 200]
            leave = "status = 'off'" if scope == "all" else "organization_id = gen_random_uuid()"
            await connection.execute(f"update public.agents set {leave} where id = $1", UUID(gone))
            await connection.execute("update public.agents set system_prompt = 'later' where id = $1", UUID(kept))
            await until(lambda: _is(status_of(server, gone), 404))
            await until(lambda: _is(prompt_of(server, kept), "later"))
        await connection.close()


async def test_a_feed_that_was_cut_off_looks_at_everything_when_it_is_back(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = await catalogue_writer.add_agent(system_prompt="before the cut")
    await until(lambda: _is(prompt_of(product_server, agent_id), "before the cut"))
    async with product_database.transaction():  # nobody listens when it commits: the triggers' word is lost
        await product_database.execute("set local session_replication_role = replica")
        await product_database.execute(
            "update public.agents set system_prompt = 'unheard' where id = $1", UUID(agent_id)
        )
    assert await prompt_of(product_server, agent_id) == "before the cut"
    await product_database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'agenthall catalogue feed%'"
    )
    await until(lambda: _is(prompt_of(product_server, agent_id), "unheard"))


async def test_readiness_tells_of_the_feed(product_server: LiveServer) -> None:
    async with product_server.http() as http:
        answer: httpx.Response = await http.get("/ok")
    assert answer.json()["services"]["agent_sync"]["scope"] == "all"
    assert "feed" in answer.json()["services"]["agent_sync"]


async def test_readiness_and_the_status_agree_on_agents_that_an_edit_broke_and_mended(
    product_server: LiveServer, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    """The next pass is an hour away, so its counters do not have the edits."""

    async def failing() -> tuple[int, int]:
        async with product_server.http() as http:
            ready = (await http.get("/ok")).json()["services"]["agent_sync"]["failed"]
            return ready, (await http.get("/agents/sync")).json()["failures"]["total"]

    async def is_failing(count: int) -> bool:
        return await failing() == (before + count, before + count)

    agent_id = await catalogue_writer.add_agent()
    await until(lambda: _is(status_of(product_server, agent_id), 200))
    before = (await failing())[1]
    await product_database.execute("update public.agents set name = '' where id = $1", UUID(agent_id))
    await until(lambda: is_failing(1))
    await product_database.execute("update public.agents set name = 'mended' where id = $1", UUID(agent_id))
    await until(lambda: is_failing(0))
