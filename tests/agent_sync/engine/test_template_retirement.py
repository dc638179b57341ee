"""Copies of a template agent go out of service with it, and come back with it: it leaves the scope, becomes global, or
the setting is switched."""

from __future__ import annotations

from uuid import uuid4, uuid5

import pytest
from catalogues.template_agents import NEVER_FRESH, OFF, ON, USERS, count_active, run_template_pass, sync_for_user

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, sync_changed_agents, sync_named_agent

LEAVING = ["status = 'off'", "deleted_at = now()", "organization_id = gen_random_uuid()"]


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("how", ["feed", "pass", "request"])
async def test_copies_of_an_agent_that_left_go_out_of_service_and_come_back(
    pool, catalogue, postgres_storage, real_pool, leave, how
):
    organization = uuid4()
    options = AgentSyncOptions(scope=AgentSyncScope.orgs([organization]), templates=True)
    agent_id = await catalogue.add_agent(organization_id=organization)
    await catalogue.add_agent(organization_id=organization)
    for user in USERS:
        await sync_for_user(pool, postgres_storage, agent_id, user, options=options)

    async def look():
        if how == "feed":
            await sync_changed_agents(pool, postgres_storage, agent_ids=[agent_id], options=options)
        elif how == "request":
            await sync_named_agent(pool, postgres_storage, agent_id, options=options)
        else:
            await run_template_pass(pool, postgres_storage, options)

    await real_pool.execute(f"update public.agents set {leave} where id = $1", agent_id)
    await look()
    assert await count_active(real_pool, agent_id) == (0, 0)
    assert await real_pool.fetchval("select count(*) from agenthall.assistants where template_id = $1", agent_id) == 2
    back = "update public.agents set status = 'active', deleted_at = null, organization_id = $2 where id = $1"
    await real_pool.execute(back, agent_id, organization)
    await look()
    assert await count_active(real_pool, agent_id) == (0, 2)


async def test_a_retired_copy_comes_back_on_its_users_first_reference_by_either_id(
    pool, catalogue, postgres_storage, real_pool
):
    agent_id = await catalogue.add_agent()
    copy_id = await sync_for_user(pool, postgres_storage, agent_id, "anna")
    for named in (agent_id, copy_id):
        await postgres_storage.retire([agent_id])
        assert await sync_for_user(pool, postgres_storage, named, "anna") == copy_id
        assert await count_active(real_pool, agent_id) == (0, 1)


async def test_switching_on_ends_sharing_and_switching_off_brings_it_back(pool, catalogue, either, real_pool):
    mine, common = await catalogue.add_agent(is_global=False), await catalogue.add_agent(is_global=True)
    assert (await run_template_pass(pool, either, OFF))["created"] == 2
    assert await run_template_pass(pool, either) == {
        "total": 1,
        "created": 0,
        "updated": 0,
        "skipped": 1,
        "failed": 0,
        "retired": 1,
    }
    assert (await count_active(real_pool, mine), await count_active(real_pool, common)) == ((0, 0), (1, 0))
    assert await sync_for_user(pool, either, mine, "anna") == str(uuid5(mine, "anna")), (
        "within the TTL of the shared one"
    )
    assert await count_active(real_pool, mine) == (0, 1)
    off = await run_template_pass(pool, either, OFF)
    assert (off["total"], off["updated"], off["retired"]) == (2, 1, 1)
    assert await count_active(real_pool, mine) == (1, 0)
    assert await sync_for_user(pool, either, mine, "anna", options=OFF) == str(mine)
    on = await run_template_pass(pool, either)
    assert (on["updated"], on["retired"]) == (1, 1)
    assert await count_active(real_pool, mine) == (0, 1), "the copy is back, with its history"


async def test_without_a_scope_switching_is_effective_at_boot_too(pool, catalogue, postgres_storage, real_pool):
    on, off = AgentSyncOptions(templates=True), AgentSyncOptions()
    mine, common = await catalogue.add_agent(), await catalogue.add_agent(is_global=True)
    for agent_id in (mine, common):
        await sync_for_user(pool, postgres_storage, agent_id, "anna", options=off)
    assert (await run_template_pass(pool, postgres_storage, on))["retired"] == 1
    assert (await count_active(real_pool, mine), await count_active(real_pool, common)) == ((0, 0), (1, 0))
    await sync_for_user(pool, postgres_storage, mine, "anna", options=on)
    assert (await run_template_pass(pool, postgres_storage, off))["retired"] == 1
    assert await count_active(real_pool, mine) == (0, 0)
    assert await sync_for_user(pool, postgres_storage, mine, "anna", options=off) == str(mine)


@pytest.mark.parametrize("how", ["feed", "pass", "request", "reference"])
async def test_an_agent_that_becomes_global_is_shared_and_one_that_ceases_to_be_is_not(
    pool, catalogue, postgres_storage, real_pool, how
):
    agent_id = await catalogue.add_agent(is_global=False)
    copy_id = await sync_for_user(pool, postgres_storage, agent_id, "anna")

    async def look():
        if how == "feed":
            await sync_changed_agents(pool, postgres_storage, agent_ids=[agent_id], options=ON)
        elif how == "request":
            await sync_named_agent(pool, postgres_storage, agent_id, options=ON)
        elif how == "reference":
            await sync_for_user(pool, postgres_storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
        else:
            await run_template_pass(pool, postgres_storage)

    await catalogue.update_agent(agent_id, is_global=True)
    await look()
    assert await count_active(real_pool, agent_id) == (1, 0)
    assert await sync_for_user(pool, postgres_storage, agent_id, "anna") == str(agent_id)
    await catalogue.update_agent(agent_id, is_global=False)
    await look()
    assert await count_active(real_pool, agent_id) == (0, 1)
    assert await sync_for_user(pool, postgres_storage, agent_id, "anna") == copy_id
