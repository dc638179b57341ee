"""An edit of a template agent reaches every copy by every path.

A dry run reports it before, and a failure fails alone.
"""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest
from catalogues.catalogue_tables import ALL
from catalogues.sync_storage import MemoryStorage, plan_changes
from catalogues.template_agents import (
    NEVER_FRESH,
    ON,
    USERS,
    get_copies,
    run_template_pass,
    sync_for_user,
    system_prompts,
)

from robyn_server.agent_sync import (
    AgentRejected,
    plan_named_agent,
    sync_changed_agents,
    sync_named_agent,
)
from robyn_server.core.catalogue.fields import SyncAction


async def test_an_edit_reaches_every_copy_by_the_feed_and_each_keeps_what_its_user_set(
    pool, catalogue, either, real_pool
):
    agent_id = await catalogue.add_agent(system_prompt="one")
    for user in USERS:
        await sync_for_user(pool, either, agent_id, user)
    await real_pool.execute(
        """update agenthall.assistants set version = version + 1, metadata = metadata || '{"team": "x"}',
           config = jsonb_set(config, '{configurable,style}', '"short"') || '{"tags": ["t"]}' where owner_id = 'anna'"""
    )
    await catalogue.update_agent(agent_id, system_prompt="two")
    assert await sync_changed_agents(pool, either, agent_ids=[agent_id], options=ON) == {"updated": 1}
    anna, bob = await get_copies(either, agent_id)
    assert system_prompts([anna, bob]) == ["two", "two"]
    assert (anna["version"], bob["version"]) == (3, 2)
    assert (anna["config"]["tags"], anna["config"]["configurable"]["style"]) == (["t"], "short")
    assert (anna["metadata"]["team"], anna["owner_id"], anna["visibility"]) == ("x", "anna", "private")
    assert await sync_changed_agents(pool, either, agent_ids=[agent_id], options=ON) == {"skipped": 1}
    assert (await get_copies(either, agent_id))[1]["version"] == 2


async def test_a_pass_finds_edits_of_templates_that_users_have_and_counts_each_as_one_agent(
    pool, catalogue, either, real_pool
):
    edited, same, bad = [await catalogue.add_agent(system_prompt="one") for _ in range(3)]
    await catalogue.add_agent()
    for agent_id in (edited, same, bad):
        for user in USERS:
            await sync_for_user(pool, either, agent_id, user)
    await catalogue.update_agent(edited, system_prompt="two")
    await catalogue.update_agent(bad, sampling_params='{"base_url": "http://evil"}')
    counters = {"total": 3, "created": 0, "updated": 1, "skipped": 1, "failed": 1, "retired": 0}
    assert await run_template_pass(pool, either) == counters
    assert system_prompts(await get_copies(either, edited)) == ["two", "two"]
    assert system_prompts(await get_copies(either, bad)) == ["one", "one"]
    assert "base_url" in await real_pool.fetchval("select failure from agenthall.agent_sync where agent_id = $1", bad)
    assert await run_template_pass(pool, either) == counters | {"updated": 0, "skipped": 2}


async def test_one_refresh_renews_the_ttl_of_every_copy(pool, catalogue, postgres_storage):
    agent_id = await catalogue.add_agent(system_prompt="one")
    for user in USERS:
        await sync_for_user(pool, postgres_storage, agent_id, user)
    await catalogue.update_agent(agent_id, system_prompt="two")
    await sync_for_user(pool, postgres_storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
    pool.statements.clear()
    await sync_for_user(pool, postgres_storage, agent_id, "bob")
    assert pool.statements == []
    assert system_prompts(await get_copies(postgres_storage, agent_id)) == ["two", "two"]


async def test_all_copies_of_an_agent_are_one_statement(pool, catalogue, postgres_storage, real_pool):
    agent_id, users = await catalogue.add_agent(system_prompt="one"), [f"user-{n}" for n in range(200)]
    await sync_for_user(pool, postgres_storage, agent_id, users[0])
    await real_pool.execute(
        """insert into agenthall.assistants (assistant_id, graph_id, name, config, context, metadata, owner_id, organization_id,
             visibility, catalogue_hash, template_id, origin)
           select u.id, a.graph_id, a.name, a.config, a.context, a.metadata, u.name, a.organization_id, a.visibility,
                  a.catalogue_hash, a.template_id, a.origin
             from agenthall.assistants a, unnest($1::uuid[], $2::text[]) as u (id, name)""",
        [uuid5(agent_id, user) for user in users[1:]],
        users[1:],
    )
    await catalogue.update_agent(agent_id, system_prompt="two")
    assert await sync_changed_agents(pool, postgres_storage, agent_ids=[agent_id], options=ON) == {"updated": 1}
    when = "select count(distinct xmin::text), count(*) from agenthall.assistants where config #>> '{configurable,system_prompt}' = 'two'"
    assert tuple(await real_pool.fetchrow(when)) == (1, 200), "one transaction wrote them all"


async def test_a_dry_run_says_what_the_sync_then_does(pool, catalogue, either, view):
    shared, edited, same, bad, gone, flipped = [await catalogue.add_agent() for _ in range(6)]
    await catalogue.add_agent()
    await catalogue.update_agent(shared, is_global=True)
    await catalogue.update_agent(flipped, is_global=True)
    await run_template_pass(pool, either)
    for agent_id in (edited, same, bad, gone):
        for user in USERS:
            await sync_for_user(pool, either, agent_id, user)
    await catalogue.update_agent(edited, system_prompt="two")
    await catalogue.update_agent(bad, graph_id="nope", sampling_params='{"base_url": "http://evil"}')
    await catalogue.update_agent(gone, status="off")
    await catalogue.update_agent(flipped, is_global=False)
    changes = {change.agent_id: change for change in await plan_changes(pool, view, scope=ALL, options=ON)}
    assert {agent_id: str(change.action) for agent_id, change in changes.items()} == {
        shared: "skipped",
        edited: "updated",
        same: "skipped",
        bad: "failed",
        gone: "retired",
        flipped: "retired",
    }
    assert changes[edited].fields == ("configurable.system_prompt",)
    done = await run_template_pass(pool, either)
    assert done == {"total": 4, "created": 0, "updated": 1, "skipped": 2, "failed": 1, "retired": 2}


async def test_a_dry_run_of_one_template_agrees_with_its_sync(pool, catalogue, postgres_storage, view):
    agent_id = await catalogue.add_agent(system_prompt="one")

    async def both():
        change = await plan_named_agent(pool, view, agent_id, options=ON)
        outcome = await sync_named_agent(pool, postgres_storage, agent_id, options=ON)
        assert change is not None and outcome is not None
        done = "retired" if outcome.action is SyncAction.MISSING else str(outcome.action)
        assert str(change.action) == done
        return done

    assert await both() == "skipped", "known, and nobody has it"
    await sync_for_user(pool, postgres_storage, agent_id, "anna")
    await catalogue.update_agent(agent_id, system_prompt="two")
    assert [await both(), await both()] == ["updated", "skipped"]
    await catalogue.update_agent(agent_id, status="off")
    assert await both() == "retired"
    await catalogue.update_agent(agent_id, status="active")
    assert await both() == "updated"


async def test_a_failure_of_a_template_is_reported_until_it_is_corrected(pool, catalogue, either, view):
    agent_id = await catalogue.add_agent(sampling_params={"base_url": "http://evil"})
    with pytest.raises(AgentRejected):
        await sync_for_user(pool, either, agent_id, "anna")
    assert [each.agent_id for each in await view.failures(None, 10)] == [agent_id]
    assert (await run_template_pass(pool, either))["failed"] == 1
    await catalogue.update_agent(agent_id, sampling_params=None)
    assert await run_template_pass(pool, either) == {
        "total": 0, "created": 0, "updated": 0, "skipped": 0, "failed": 0, "retired": 0,
    }  # fmt: skip
    assert await view.failures(None, 10) == []


async def test_a_copy_that_the_database_refuses_leaves_those_of_other_agents_alone(pool, catalogue, either, real_pool):
    good, bad = await catalogue.add_agent(system_prompt="one"), await catalogue.add_agent(system_prompt="one")
    for agent_id in (good, bad):
        await sync_for_user(pool, either, agent_id, "anna")
    await catalogue.update_agent(good, system_prompt="two")
    await catalogue.update_agent(bad, name="refused")
    await real_pool.execute("alter table agenthall.assistants add constraint refusal check (name <> 'refused')")
    try:
        counters = await run_template_pass(pool, either)
    finally:
        await real_pool.execute("alter table agenthall.assistants drop constraint refusal")
    assert (counters["updated"], counters["failed"]) == (1, 1)
    assert system_prompts(await get_copies(either, good, ["anna"])) == ["two"]


async def test_a_storage_with_the_three_methods_alone_refreshes_each_copy_on_its_own(pool, catalogue):
    storage, agent_id = MemoryStorage(), await catalogue.add_agent(system_prompt="one")
    for user in USERS:
        await sync_for_user(pool, storage, agent_id, user)
    await catalogue.update_agent(agent_id, system_prompt="two")
    await sync_for_user(pool, storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
    assert system_prompts(await get_copies(storage, agent_id)) == ["two", "one"]
    await sync_for_user(pool, storage, agent_id, "bob", cache_ttl=NEVER_FRESH)
    assert system_prompts(await get_copies(storage, agent_id)) == ["two", "two"]
    assert await sync_changed_agents(pool, storage, agent_ids=[agent_id], options=ON) == {"skipped": 1}
    assert UUID(await sync_for_user(pool, storage, agent_id, "anna")).version == 5
