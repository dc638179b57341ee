"""Template agents: each user who refers to an agent that is not global has a copy of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4, uuid5

import asyncpg
import pytest
from catalogues.catalogue_tables import ALL, CatalogueEditor, catalogue_database
from catalogues.sync_storage import RecordingPool, count_writes, get_assistant
from catalogues.template_agents import NEVER_FRESH, OFF, ON, USERS, get_copies, sync_for_user, system_prompts

from robyn_server.agent_sync import AgentRejected, startup_agent_sync
from robyn_server.core.errors import CatalogueUnavailable, Conflict, Misconfigured
from robyn_server.settings import load_settings
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore


async def test_a_template_is_left_out_at_startup_and_a_global_agent_is_shared(pool, catalogue, storage):
    await catalogue.add_agent(is_global=False)
    await catalogue.add_agent(is_global=None)
    shared = await catalogue.add_agent(is_global=True)
    counters = await startup_agent_sync(pool, storage, scope=ALL, owner_id="system", options=ON)
    assert counters == {"total": 1, "created": 1, "updated": 0, "skipped": 0, "failed": 0}
    assert (await get_assistant(storage, shared))["owner_id"] == "system"
    assert await sync_for_user(pool, storage, shared, "anna") == str(shared)


async def test_without_the_setting_is_global_says_nothing(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(is_global=False)
    assert (await startup_agent_sync(pool, storage, scope=ALL, owner_id="system", options=OFF))["created"] == 1
    assert await sync_for_user(pool, storage, agent_id, "anna", options=OFF) == str(agent_id)


async def test_each_user_gets_a_copy_of_their_own_and_within_the_ttl_the_catalogue_is_not_asked(
    pool, catalogue, storage, real_pool
):
    agent_id = await catalogue.add_agent(system_prompt="one")
    for user in USERS:
        assert await sync_for_user(pool, storage, agent_id, user) == str(uuid5(agent_id, user))
    anna, bob = await get_copies(storage, agent_id)
    assert (anna["owner_id"], bob["owner_id"]) == USERS
    assert {anna["metadata"]["supabase_agent_id"], bob["metadata"]["supabase_agent_id"]} == {str(agent_id)}
    assert await storage.assistants.get(str(uuid5(agent_id, "anna")), "bob") is None
    assert await storage.assistants.get(str(agent_id), "anna") is None, "nothing is shared"
    pool.statements.clear()
    copy_id = str(uuid5(agent_id, "anna"))
    assert await sync_for_user(pool, storage, agent_id, "anna") == copy_id
    assert await sync_for_user(pool, storage, copy_id, "anna") == copy_id, "by its own id, too"
    assert pool.statements == []
    assert await count_writes(storage, real_pool) == 2
    assert await catalogue.written_back_id(agent_id) is None, "one column, many users"


async def test_many_first_references_of_one_user_are_one_row(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent()
    found = await asyncio.gather(*(sync_for_user(pool, storage, agent_id, "anna") for _ in range(20)))
    assert set(found) == {str(uuid5(agent_id, "anna"))}
    assert await count_writes(storage, real_pool) == 1


async def test_two_replicas_that_meet_a_user_at_once_make_one_row(pool, catalogue, system_pool, real_pool):
    agent_id = await catalogue.add_agent()
    replicas = [PostgresSyncStore(system_pool) for _ in range(6)]
    found = await asyncio.gather(*(sync_for_user(pool, each, agent_id, "anna") for each in replicas))
    assert set(found) == {str(uuid5(agent_id, "anna"))}
    assert await count_writes(replicas[0], real_pool) == 1


async def test_after_the_ttl_a_copy_is_refreshed_from_its_agent_by_either_id(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(system_prompt="one")
    copy_id = await sync_for_user(pool, storage, agent_id, "anna")
    for prompt, named in (("two", copy_id), ("three", str(agent_id))):
        await catalogue.update_agent(agent_id, system_prompt=prompt)
        assert await sync_for_user(pool, storage, named, "anna", cache_ttl=NEVER_FRESH) == copy_id
        assert system_prompts(await get_copies(storage, agent_id, ["anna"])) == [prompt]


async def test_of_a_strangers_organization_there_is_no_copy_and_none_is_returned_to_who_left(pool, catalogue, storage):
    organization = uuid4()
    agent_id = await catalogue.add_agent(organization_id=organization)
    members, strangers = frozenset([organization]), frozenset([uuid4()])
    assert await sync_for_user(pool, storage, agent_id, "eve", organizations=strangers) is None
    copy_id = await sync_for_user(pool, storage, agent_id, "anna", organizations=members)
    for named in (agent_id, copy_id):
        for ttl in (timedelta(hours=1), NEVER_FRESH):
            assert await sync_for_user(pool, storage, named, "anna", organizations=strangers, cache_ttl=ttl) is None
    assert await sync_for_user(pool, storage, copy_id, "anna", organizations=members) == copy_id


async def test_the_server_itself_has_no_copy_and_learns_that_there_is_such_an_agent(
    pool, catalogue, storage, real_pool
):
    agent_id = await catalogue.add_agent()
    assert await sync_for_user(pool, storage, agent_id, "system") == str(agent_id)
    assert await sync_for_user(pool, storage, uuid4(), "system") is None
    assert await count_writes(storage, real_pool) == 0


async def test_a_malformed_template_is_an_error_and_never_a_bare_copy(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent(sampling_params={"base_url": "http://evil"})
    with pytest.raises(AgentRejected, match="base_url"):
        await sync_for_user(pool, storage, agent_id, "anna")
    assert await count_writes(storage, real_pool) == 0


async def test_an_unreachable_catalogue_is_an_error_and_no_verdict_on_the_copy(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    copy_id = await sync_for_user(pool, storage, agent_id, "anna")
    pool.refuse["public.agents a"] = asyncpg.InterfaceError("closed")
    with pytest.raises(CatalogueUnavailable):
        await sync_for_user(pool, storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
    pool.refuse.clear()
    assert await sync_for_user(pool, storage, agent_id, "anna", cache_ttl=NEVER_FRESH) == copy_id


async def test_an_id_that_something_else_has_taken_is_a_conflict(pool, catalogue, postgres_storage, real_pool):
    agent_id = await catalogue.add_agent()
    await real_pool.execute(
        "insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility) values ($1, 'agent', 'x', 'eve', 'private')",
        uuid5(agent_id, "anna"),
    )
    with pytest.raises(Conflict):
        await sync_for_user(pool, postgres_storage, agent_id, "anna")


async def test_without_a_column_is_global_every_agent_is_a_template(pool, postgres_storage, postgres):
    storage = postgres_storage
    async with catalogue_database(postgres, sql="alter table public.agents drop column is_global") as other:
        watched, agent_id = RecordingPool(other), await CatalogueEditor(other).add_agent()
        assert (await startup_agent_sync(watched, storage, scope=ALL, owner_id="system", options=ON))["total"] == 0
        assert await sync_for_user(watched, storage, agent_id, "anna") == str(uuid5(agent_id, "anna"))


@pytest.mark.parametrize(("text", "on"), [("on", True), ("True", True), ("off", False), ("false", False)])
def test_the_setting_is_on_or_off(text, on):
    assert (load_settings(agent_sync_templates=text).agent_sync_templates == "on") is on


def test_a_setting_that_is_neither_is_named():
    with pytest.raises(Misconfigured, match=r"AGENT_SYNC_TEMPLATES.*`on` or `off`"):
        load_settings(AGENT_SYNC_TEMPLATES="maybe")
