"""Agents synced by their ids: few one by one, many by the page, with the same result."""

from __future__ import annotations

from uuid import uuid4

import pytest
from catalogues.catalogue_tables import ALL
from catalogues.sync_storage import count_writes, get_assistant
from catalogues.template_agents import ON, count_active, get_copies, sync_for_user, system_prompts

from robyn_server.agent_sync import (
    AgentSyncOptions,
    AgentSyncScope,
    retire_absent_agents,
    startup_agent_sync,
    sync_changed_agents,
    sync_named_agent,
)
from robyn_server.agent_sync.engine.named_agents import MANY

OPTIONS = AgentSyncOptions(scope=ALL)
FAILURES = "select count(*) from agenthall.agent_sync where failure is not null"


async def ids(real_pool):
    return [row["id"] for row in await real_pool.fetch("select id from public.agents order by id")]


@pytest.mark.parametrize("count", [MANY - 1, MANY, MANY * 3])
async def test_many_edits_are_applied_as_few_are(count, pool, catalogue, postgres_storage, real_pool):
    await catalogue.add_agents(count)
    new, bad = await catalogue.add_agent(name="new"), await catalogue.add_agent(name="")
    gone = await catalogue.add_agent(name="gone")
    edited = await ids(real_pool)
    options = AgentSyncOptions(scope=ALL, page_size=MANY)
    counts = await sync_changed_agents(pool, postgres_storage, agent_ids=edited, options=options)
    assert counts == {"created": count + 2, "failed": 1}
    await catalogue.update_agent(new, name="newer")
    await catalogue.update_agent(gone, status="off")
    counts = await sync_changed_agents(pool, postgres_storage, agent_ids=[*edited, uuid4()], options=options)
    assert counts == {"updated": 1, "skipped": count, "failed": 1, "missing": 1}
    assert (await get_assistant(postgres_storage, new))["name"] == "newer"
    assert (await get_assistant(postgres_storage, gone))["retired_at"] is not None
    assert await real_pool.fetchval("select agent_id from agenthall.agent_sync where failure is not null") == bad


async def test_many_edits_are_read_by_the_page(pool, catalogue, postgres_storage, real_pool):
    await catalogue.add_agents(300)
    edited = await ids(real_pool)
    pool.statements.clear()
    assert await sync_changed_agents(pool, postgres_storage, agent_ids=edited, options=OPTIONS) == {"created": 300}
    assert len(pool.statements) <= 4  # a page is read and written back


async def test_many_edits_outside_the_scope_are_retired(pool, catalogue, postgres_storage, real_pool):
    await catalogue.add_agents(MANY)
    edited = await ids(real_pool)
    await sync_changed_agents(pool, postgres_storage, agent_ids=edited, options=OPTIONS)
    elsewhere = AgentSyncOptions(scope=AgentSyncScope.orgs([uuid4()]))
    counts = await sync_changed_agents(pool, postgres_storage, agent_ids=edited, options=elsewhere)
    assert counts == {"missing": MANY}


async def test_with_the_scope_none_many_edits_sync_known_agents_only(pool, catalogue, postgres_storage, real_pool):
    await catalogue.add_agents(MANY)
    known, *_ = edited = await ids(real_pool)
    await sync_named_agent(pool, postgres_storage, known)
    assert await sync_changed_agents(pool, postgres_storage, agent_ids=edited) == {"skipped": 1}
    assert await count_writes(postgres_storage, real_pool) == 1


async def test_many_edits_of_templates_and_of_shared_agents(pool, catalogue, postgres_storage, real_pool):
    template = await catalogue.add_agent(is_global=False, system_prompt="first")
    await sync_for_user(pool, postgres_storage, template, "anna")
    for _ in range(MANY):
        await catalogue.add_agent(is_global=True)
    await catalogue.update_agent(template, system_prompt="second")
    was_template = await catalogue.add_agent(is_global=False)
    await sync_for_user(pool, postgres_storage, was_template, "anna")
    await catalogue.update_agent(was_template, is_global=True)
    counts = await sync_changed_agents(pool, postgres_storage, agent_ids=await ids(real_pool), options=ON)
    assert counts == {"created": MANY + 1, "updated": 1}
    assert system_prompts(await get_copies(postgres_storage, template, ["anna"])) == ["second"]
    assert await count_active(real_pool, was_template) == (1, 0)


@pytest.mark.parametrize("ends", ["deleted", "disabled", "out of scope"])
@pytest.mark.parametrize("found_by", ["pass", "edit", "request"])
@pytest.mark.parametrize("served_before", [False, True])
async def test_the_failure_of_an_agent_that_is_gone_is_forgotten(
    ends, found_by, served_before, pool, catalogue, postgres_storage, real_pool
):
    organization = uuid4()
    options = AgentSyncOptions(scope=AgentSyncScope.orgs([organization]))
    bad = await catalogue.add_agent(organization_id=organization)
    still_bad = await catalogue.add_agent(organization_id=organization, name="")
    if served_before:
        await sync_changed_agents(pool, postgres_storage, agent_ids=[bad], options=options)
    await catalogue.update_agent(bad, name="")
    await startup_agent_sync(pool, postgres_storage, scope=options.scope, owner_id="system", options=options)
    assert await real_pool.fetchval(FAILURES) == 2
    if ends == "deleted":
        await real_pool.execute("delete from public.agents where id = $1", bad)
    else:
        columns = {"status": "off"} if ends == "disabled" else {"organization_id": uuid4(), "name": "Ada"}
        await catalogue.update_agent(bad, **columns)
    if found_by == "pass":
        await startup_agent_sync(pool, postgres_storage, scope=options.scope, owner_id="system", options=options)
        await retire_absent_agents(pool, postgres_storage, options.scope, options)
    elif found_by == "edit":
        await sync_changed_agents(pool, postgres_storage, agent_ids=[bad], options=options)
    else:
        await sync_named_agent(pool, postgres_storage, bad, options=options)
    failing = await postgres_storage.failing(None, 10)
    assert failing == [still_bad]


async def test_without_a_scope_failures_of_references_are_forgotten_too(pool, catalogue, postgres_storage, real_pool):
    bad = await catalogue.add_agent(name="")
    await sync_named_agent(pool, postgres_storage, bad)
    await retire_absent_agents(pool, postgres_storage, AgentSyncScope.none())
    assert await postgres_storage.failing(None, 10) == [bad]
    await real_pool.execute("delete from public.agents")
    await retire_absent_agents(pool, postgres_storage, AgentSyncScope.none())
    assert await postgres_storage.failing(None, 10) == []
