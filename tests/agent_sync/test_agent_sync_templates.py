"""Template agents: each user has a copy of an agent that is not global, and all copies follow their agent."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4, uuid5

import asyncpg
import pytest
from agent_sync_surroundings import Catalogue as Rows
from agent_sync_surroundings import MemoryStorage, WatchedPool, catalogue_database, count_of_writes, stored

from robyn_server.agent_sync import (
    AgentRejected,
    AgentSyncOptions,
    AgentSyncScope,
    lazy_sync_agent,
    plan_agent_sync,
    plan_sync_of_agent,
    retire_absent_agents,
    startup_agent_sync,
    sync_agent_on_request,
    sync_changed_agents,
)
from robyn_server.core.catalogue import SyncAction
from robyn_server.core.errors import CatalogueUnavailable, Conflict, Misconfigured
from robyn_server.settings import load_settings
from robyn_server.storage.agent_sync_view import AgentSyncView
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

ALL = AgentSyncScope("all")
ON = AgentSyncOptions(scope=ALL, templates=True)
OFF = AgentSyncOptions(scope=ALL)
NEVER_FRESH = timedelta(0)
USERS = ("anna", "bob")


@pytest.fixture
def postgres_storage(system_pool):
    return PostgresAssistantStorage(system_pool)


@pytest.fixture
def view(system_pool):
    return AgentSyncView(system_pool)


async def lazy(pool, storage, agent_id, user, *, options=ON, **more):
    return await lazy_sync_agent(pool, storage, agent_id=agent_id, owner_id=user, options=options, **more)


async def boot(pool, storage, options=ON):
    """A pass over the whole scope, as a server makes it."""
    counters = await startup_agent_sync(pool, storage, scope=options.scope, owner_id="system", options=options)
    if (retirement := getattr(storage, "retirement", None)) is None:
        return counters
    retired = await retire_absent_agents(pool, retirement, options.scope, options.source, templates=options.templates)
    return counters | {"retired": retired}


async def copies_of(storage, agent_id, users=USERS):
    rows = [await storage.assistants.get(str(uuid5(agent_id, user)), user) for user in users]
    assert None not in rows
    return rows


def prompts(rows):
    return [row["config"]["configurable"].get("system_prompt") for row in rows]


async def in_service(real_pool, agent_id):
    """How many of the agent's assistants are: (shared, copies)."""
    row = await real_pool.fetchrow(
        "select count(*) filter (where assistant_id = $1) as shared, count(*) filter (where template_id = $1) as copies"
        " from agenthall.assistants where retired_at is null",
        agent_id,
    )
    return tuple(row)


async def test_a_template_is_left_out_at_startup_and_a_global_agent_is_shared(pool, catalogue, storage):
    await catalogue.agent(is_global=False)
    await catalogue.agent(is_global=None)
    shared = await catalogue.agent(is_global=True)
    counters = await startup_agent_sync(pool, storage, scope=ALL, owner_id="system", options=ON)
    assert counters == {"total": 1, "created": 1, "updated": 0, "skipped": 0, "failed": 0}
    assert (await stored(storage, shared))["owner_id"] == "system"
    assert await lazy(pool, storage, shared, "anna") == str(shared)


async def test_without_the_setting_is_global_says_nothing(pool, catalogue, storage):
    agent_id = await catalogue.agent(is_global=False)
    assert (await startup_agent_sync(pool, storage, scope=ALL, owner_id="system", options=OFF))["created"] == 1
    assert await lazy(pool, storage, agent_id, "anna", options=OFF) == str(agent_id)


async def test_each_user_gets_a_copy_of_their_own_and_within_the_ttl_the_catalogue_is_not_asked(
    pool, catalogue, storage, real_pool
):
    agent_id = await catalogue.agent(system_prompt="one")
    for user in USERS:
        assert await lazy(pool, storage, agent_id, user) == str(uuid5(agent_id, user))
    anna, bob = await copies_of(storage, agent_id)
    assert (anna["owner_id"], bob["owner_id"]) == USERS
    assert {anna["metadata"]["supabase_agent_id"], bob["metadata"]["supabase_agent_id"]} == {str(agent_id)}
    assert await storage.assistants.get(str(uuid5(agent_id, "anna")), "bob") is None
    assert await storage.assistants.get(str(agent_id), "anna") is None, "nothing is shared"
    pool.statements.clear()
    copy_id = str(uuid5(agent_id, "anna"))
    assert await lazy(pool, storage, agent_id, "anna") == copy_id
    assert await lazy(pool, storage, copy_id, "anna") == copy_id, "by its own id, too"
    assert pool.statements == []
    assert await count_of_writes(storage, real_pool) == 2
    assert await catalogue.written_back(agent_id) is None, "one column, many users"


async def test_many_first_references_of_one_user_are_one_row(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.agent()
    found = await asyncio.gather(*(lazy(pool, storage, agent_id, "anna") for _ in range(20)))
    assert set(found) == {str(uuid5(agent_id, "anna"))}
    assert await count_of_writes(storage, real_pool) == 1


async def test_two_replicas_that_meet_a_user_at_once_make_one_row(pool, catalogue, system_pool, real_pool):
    agent_id = await catalogue.agent()
    replicas = [PostgresAssistantStorage(system_pool) for _ in range(6)]
    found = await asyncio.gather(*(lazy(pool, each, agent_id, "anna") for each in replicas))
    assert set(found) == {str(uuid5(agent_id, "anna"))}
    assert await count_of_writes(replicas[0], real_pool) == 1


async def test_after_the_ttl_a_copy_is_refreshed_from_its_agent_by_either_id(pool, catalogue, storage):
    agent_id = await catalogue.agent(system_prompt="one")
    copy_id = await lazy(pool, storage, agent_id, "anna")
    for prompt, named in (("two", copy_id), ("three", str(agent_id))):
        await catalogue.change(agent_id, system_prompt=prompt)
        assert await lazy(pool, storage, named, "anna", cache_ttl=NEVER_FRESH) == copy_id
        assert prompts(await copies_of(storage, agent_id, ["anna"])) == [prompt]


async def test_of_a_strangers_organization_there_is_no_copy_and_none_is_returned_to_who_left(pool, catalogue, storage):
    organization = uuid4()
    agent_id = await catalogue.agent(organization_id=organization)
    members, strangers = frozenset([organization]), frozenset([uuid4()])
    assert await lazy(pool, storage, agent_id, "eve", organizations=strangers) is None
    copy_id = await lazy(pool, storage, agent_id, "anna", organizations=members)
    for named in (agent_id, copy_id):
        for ttl in (timedelta(hours=1), NEVER_FRESH):
            assert await lazy(pool, storage, named, "anna", organizations=strangers, cache_ttl=ttl) is None
    assert await lazy(pool, storage, copy_id, "anna", organizations=members) == copy_id


async def test_the_server_itself_has_no_copy_and_learns_that_there_is_such_an_agent(
    pool, catalogue, storage, real_pool
):
    agent_id = await catalogue.agent()
    assert await lazy(pool, storage, agent_id, "system") == str(agent_id)
    assert await lazy(pool, storage, uuid4(), "system") is None
    assert await count_of_writes(storage, real_pool) == 0


async def test_a_malformed_template_is_an_error_and_never_a_bare_copy(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.agent(sampling_params={"base_url": "http://evil"})
    with pytest.raises(AgentRejected, match="base_url"):
        await lazy(pool, storage, agent_id, "anna")
    assert await count_of_writes(storage, real_pool) == 0


async def test_an_unreachable_catalogue_is_an_error_and_no_verdict_on_the_copy(pool, catalogue, storage):
    agent_id = await catalogue.agent()
    copy_id = await lazy(pool, storage, agent_id, "anna")
    pool.refuse["public.agents a"] = asyncpg.InterfaceError("closed")
    with pytest.raises(CatalogueUnavailable):
        await lazy(pool, storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
    pool.refuse.clear()
    assert await lazy(pool, storage, agent_id, "anna", cache_ttl=NEVER_FRESH) == copy_id


async def test_an_id_that_something_else_has_taken_is_a_conflict(pool, catalogue, postgres_storage, real_pool):
    agent_id = await catalogue.agent()
    await real_pool.execute(
        "insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility) values ($1, 'agent', 'x', 'eve', 'private')",
        uuid5(agent_id, "anna"),
    )
    with pytest.raises(Conflict):
        await lazy(pool, postgres_storage, agent_id, "anna")


async def test_without_a_column_is_global_every_agent_is_a_template(pool, postgres_storage, postgres):
    storage = postgres_storage
    async with catalogue_database(postgres, sql="alter table public.agents drop column is_global") as other:
        watched, agent_id = WatchedPool(other), await Rows(other).agent()
        assert (await startup_agent_sync(watched, storage, scope=ALL, owner_id="system", options=ON))["total"] == 0
        assert await lazy(watched, storage, agent_id, "anna") == str(uuid5(agent_id, "anna"))


@pytest.fixture(params=["one by one", "bulk"])
def kept(request, system_pool):
    """A storage that keeps all copies of an agent together; both paths of startup."""
    storage = PostgresAssistantStorage(system_pool)
    if request.param == "one by one":
        storage.bulk = None
    return storage


async def test_an_edit_reaches_every_copy_by_the_feed_and_each_keeps_what_its_user_set(
    pool, catalogue, kept, real_pool
):
    agent_id = await catalogue.agent(system_prompt="one")
    for user in USERS:
        await lazy(pool, kept, agent_id, user)
    await real_pool.execute(
        """update agenthall.assistants set version = version + 1, metadata = metadata || '{"team": "x"}',
           config = jsonb_set(config, '{configurable,style}', '"short"') || '{"tags": ["t"]}' where owner_id = 'anna'"""
    )
    await catalogue.change(agent_id, system_prompt="two")
    assert await sync_changed_agents(pool, kept, agent_ids=[agent_id], options=ON) == {"updated": 1}
    anna, bob = await copies_of(kept, agent_id)
    assert prompts([anna, bob]) == ["two", "two"]
    assert (anna["version"], bob["version"]) == (3, 2)
    assert (anna["config"]["tags"], anna["config"]["configurable"]["style"]) == (["t"], "short")
    assert (anna["metadata"]["team"], anna["owner_id"], anna["visibility"]) == ("x", "anna", "private")
    assert await sync_changed_agents(pool, kept, agent_ids=[agent_id], options=ON) == {"skipped": 1}
    assert (await copies_of(kept, agent_id))[1]["version"] == 2


async def test_a_pass_finds_edits_of_templates_that_users_have_and_counts_each_as_one_agent(
    pool, catalogue, kept, real_pool
):
    edited, same, bad = [await catalogue.agent(system_prompt="one") for _ in range(3)]
    await catalogue.agent()
    for agent_id in (edited, same, bad):
        for user in USERS:
            await lazy(pool, kept, agent_id, user)
    await catalogue.change(edited, system_prompt="two")
    await catalogue.change(bad, sampling_params='{"base_url": "http://evil"}')
    counters = {"total": 3, "created": 0, "updated": 1, "skipped": 1, "failed": 1, "retired": 0}
    assert await boot(pool, kept) == counters
    assert prompts(await copies_of(kept, edited)) == ["two", "two"]
    assert prompts(await copies_of(kept, bad)) == ["one", "one"]
    assert "base_url" in await real_pool.fetchval("select failure from agenthall.agent_sync where agent_id = $1", bad)
    assert await boot(pool, kept) == counters | {"updated": 0, "skipped": 2}


async def test_one_refresh_renews_the_ttl_of_every_copy(pool, catalogue, postgres_storage):
    agent_id = await catalogue.agent(system_prompt="one")
    for user in USERS:
        await lazy(pool, postgres_storage, agent_id, user)
    await catalogue.change(agent_id, system_prompt="two")
    await lazy(pool, postgres_storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
    pool.statements.clear()
    await lazy(pool, postgres_storage, agent_id, "bob")
    assert pool.statements == []
    assert prompts(await copies_of(postgres_storage, agent_id)) == ["two", "two"]


async def test_all_copies_of_an_agent_are_one_statement(pool, catalogue, postgres_storage, real_pool):
    agent_id, users = await catalogue.agent(system_prompt="one"), [f"user-{n}" for n in range(200)]
    await lazy(pool, postgres_storage, agent_id, users[0])
    await real_pool.execute(
        """insert into agenthall.assistants (assistant_id, graph_id, name, config, context, metadata, owner_id, organization_id,
             visibility, catalogue_hash, template_id)
           select u.id, a.graph_id, a.name, a.config, a.context, a.metadata, u.name, a.organization_id, a.visibility,
                  a.catalogue_hash, a.template_id
             from agenthall.assistants a, unnest($1::uuid[], $2::text[]) as u (id, name)""",
        [uuid5(agent_id, user) for user in users[1:]],
        users[1:],
    )
    await catalogue.change(agent_id, system_prompt="two")
    assert await sync_changed_agents(pool, postgres_storage, agent_ids=[agent_id], options=ON) == {"updated": 1}
    when = "select count(distinct xmin::text), count(*) from agenthall.assistants where config #>> '{configurable,system_prompt}' = 'two'"
    assert tuple(await real_pool.fetchrow(when)) == (1, 200), "one transaction wrote them all"


LEAVING = ["status = 'off'", "deleted_at = now()", "organization_id = gen_random_uuid()"]


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("how", ["feed", "pass", "request"])
async def test_copies_of_an_agent_that_left_go_out_of_service_and_come_back(
    pool, catalogue, postgres_storage, real_pool, leave, how
):
    organization = uuid4()
    options = AgentSyncOptions(scope=AgentSyncScope.orgs([organization]), templates=True)
    agent_id = await catalogue.agent(organization_id=organization)
    await catalogue.agent(organization_id=organization)
    for user in USERS:
        await lazy(pool, postgres_storage, agent_id, user, options=options)

    async def look():
        if how == "feed":
            await sync_changed_agents(pool, postgres_storage, agent_ids=[agent_id], options=options)
        elif how == "request":
            await sync_agent_on_request(pool, postgres_storage, agent_id, options=options)
        else:
            await boot(pool, postgres_storage, options)

    await real_pool.execute(f"update public.agents set {leave} where id = $1", agent_id)
    await look()
    assert await in_service(real_pool, agent_id) == (0, 0)
    assert await real_pool.fetchval("select count(*) from agenthall.assistants where template_id = $1", agent_id) == 2
    back = "update public.agents set status = 'active', deleted_at = null, organization_id = $2 where id = $1"
    await real_pool.execute(back, agent_id, organization)
    await look()
    assert await in_service(real_pool, agent_id) == (0, 2)


async def test_a_retired_copy_comes_back_on_its_users_first_reference_by_either_id(
    pool, catalogue, postgres_storage, real_pool
):
    agent_id = await catalogue.agent()
    copy_id = await lazy(pool, postgres_storage, agent_id, "anna")
    for named in (agent_id, copy_id):
        await postgres_storage.retirement.retire([agent_id])
        assert await lazy(pool, postgres_storage, named, "anna") == copy_id
        assert await in_service(real_pool, agent_id) == (0, 1)


async def test_switching_on_ends_sharing_and_switching_off_brings_it_back(pool, catalogue, kept, real_pool):
    mine, common = await catalogue.agent(is_global=False), await catalogue.agent(is_global=True)
    assert (await boot(pool, kept, OFF))["created"] == 2
    assert await boot(pool, kept) == {"total": 1, "created": 0, "updated": 0, "skipped": 1, "failed": 0, "retired": 1}
    assert (await in_service(real_pool, mine), await in_service(real_pool, common)) == ((0, 0), (1, 0))
    assert await lazy(pool, kept, mine, "anna") == str(uuid5(mine, "anna")), "within the TTL of the shared one"
    assert await in_service(real_pool, mine) == (0, 1)
    off = await boot(pool, kept, OFF)
    assert (off["total"], off["updated"], off["retired"]) == (2, 1, 1)
    assert await in_service(real_pool, mine) == (1, 0)
    assert await lazy(pool, kept, mine, "anna", options=OFF) == str(mine)
    on = await boot(pool, kept)
    assert (on["updated"], on["retired"]) == (1, 1)
    assert await in_service(real_pool, mine) == (0, 1), "the copy is back, with its history"


async def test_without_a_scope_switching_is_effective_at_boot_too(pool, catalogue, postgres_storage, real_pool):
    on, off = AgentSyncOptions(templates=True), AgentSyncOptions()
    mine, common = await catalogue.agent(), await catalogue.agent(is_global=True)
    for agent_id in (mine, common):
        await lazy(pool, postgres_storage, agent_id, "anna", options=off)
    assert (await boot(pool, postgres_storage, on))["retired"] == 1
    assert (await in_service(real_pool, mine), await in_service(real_pool, common)) == ((0, 0), (1, 0))
    await lazy(pool, postgres_storage, mine, "anna", options=on)
    assert (await boot(pool, postgres_storage, off))["retired"] == 1
    assert await in_service(real_pool, mine) == (0, 0)
    assert await lazy(pool, postgres_storage, mine, "anna", options=off) == str(mine)


@pytest.mark.parametrize("how", ["feed", "pass", "request", "reference"])
async def test_an_agent_that_becomes_global_is_shared_and_one_that_ceases_to_be_is_not(
    pool, catalogue, postgres_storage, real_pool, how
):
    agent_id = await catalogue.agent(is_global=False)
    copy_id = await lazy(pool, postgres_storage, agent_id, "anna")

    async def look():
        if how == "feed":
            await sync_changed_agents(pool, postgres_storage, agent_ids=[agent_id], options=ON)
        elif how == "request":
            await sync_agent_on_request(pool, postgres_storage, agent_id, options=ON)
        elif how == "reference":
            await lazy(pool, postgres_storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
        else:
            await boot(pool, postgres_storage)

    await catalogue.change(agent_id, is_global=True)
    await look()
    assert await in_service(real_pool, agent_id) == (1, 0)
    assert await lazy(pool, postgres_storage, agent_id, "anna") == str(agent_id)
    await catalogue.change(agent_id, is_global=False)
    await look()
    assert await in_service(real_pool, agent_id) == (0, 1)
    assert await lazy(pool, postgres_storage, agent_id, "anna") == copy_id


async def test_a_dry_run_says_what_the_sync_then_does(pool, catalogue, kept, view):
    shared, edited, same, bad, gone, flipped = [await catalogue.agent() for _ in range(6)]
    await catalogue.agent()
    await catalogue.change(shared, is_global=True)
    await catalogue.change(flipped, is_global=True)
    await boot(pool, kept)
    for agent_id in (edited, same, bad, gone):
        for user in USERS:
            await lazy(pool, kept, agent_id, user)
    await catalogue.change(edited, system_prompt="two")
    await catalogue.change(bad, graph_id="nope", sampling_params='{"base_url": "http://evil"}')
    await catalogue.change(gone, status="off")
    await catalogue.change(flipped, is_global=False)
    pages = [page async for page in plan_agent_sync(pool, view, scope=ALL, options=ON)]
    planned = {change.agent_id: change for page in pages for change in page}
    assert {agent_id: str(change.action) for agent_id, change in planned.items()} == {
        shared: "skipped",
        edited: "updated",
        same: "skipped",
        bad: "failed",
        gone: "retired",
        flipped: "retired",
    }
    assert planned[edited].fields == ("configurable.system_prompt",)
    done = await boot(pool, kept)
    assert done == {"total": 4, "created": 0, "updated": 1, "skipped": 2, "failed": 1, "retired": 2}


async def test_a_dry_run_of_one_template_agrees_with_its_sync(pool, catalogue, postgres_storage, view):
    agent_id = await catalogue.agent(system_prompt="one")

    async def both():
        planned = await plan_sync_of_agent(pool, view, agent_id, options=ON)
        outcome = await sync_agent_on_request(pool, postgres_storage, agent_id, options=ON)
        assert planned is not None and outcome is not None
        done = "retired" if outcome.action is SyncAction.MISSING else str(outcome.action)
        assert str(planned.action) == done
        return done

    assert await both() == "skipped", "known, and nobody has it"
    await lazy(pool, postgres_storage, agent_id, "anna")
    await catalogue.change(agent_id, system_prompt="two")
    assert [await both(), await both()] == ["updated", "skipped"]
    await catalogue.change(agent_id, status="off")
    assert await both() == "retired"
    await catalogue.change(agent_id, status="active")
    assert await both() == "updated"


async def test_a_failure_of_a_template_is_told_until_it_is_mended(pool, catalogue, kept, view):
    agent_id = await catalogue.agent(sampling_params={"base_url": "http://evil"})
    with pytest.raises(AgentRejected):
        await lazy(pool, kept, agent_id, "anna")
    assert [each.agent_id for each in await view.failures(None, 10)] == [agent_id]
    assert (await boot(pool, kept))["failed"] == 1
    await catalogue.change(agent_id, sampling_params=None)
    assert await boot(pool, kept) == {
        "total": 0, "created": 0, "updated": 0, "skipped": 0, "failed": 0, "retired": 0,
    }  # fmt: skip
    assert await view.failures(None, 10) == []


async def test_a_copy_that_the_database_refuses_leaves_those_of_other_agents_alone(pool, catalogue, kept, real_pool):
    good, bad = await catalogue.agent(system_prompt="one"), await catalogue.agent(system_prompt="one")
    for agent_id in (good, bad):
        await lazy(pool, kept, agent_id, "anna")
    await catalogue.change(good, system_prompt="two")
    await catalogue.change(bad, name="refused")
    await real_pool.execute("alter table agenthall.assistants add constraint refusal check (name <> 'refused')")
    try:
        counters = await boot(pool, kept)
    finally:
        await real_pool.execute("alter table agenthall.assistants drop constraint refusal")
    assert (counters["updated"], counters["failed"]) == (1, 1)
    assert prompts(await copies_of(kept, good, ["anna"])) == ["two"]


async def test_a_storage_with_the_three_methods_alone_refreshes_each_copy_on_its_own(pool, catalogue):
    storage, agent_id = MemoryStorage(), await catalogue.agent(system_prompt="one")
    for user in USERS:
        await lazy(pool, storage, agent_id, user)
    await catalogue.change(agent_id, system_prompt="two")
    await lazy(pool, storage, agent_id, "anna", cache_ttl=NEVER_FRESH)
    assert prompts(await copies_of(storage, agent_id)) == ["two", "one"]
    await lazy(pool, storage, agent_id, "bob", cache_ttl=NEVER_FRESH)
    assert prompts(await copies_of(storage, agent_id)) == ["two", "two"]
    assert await sync_changed_agents(pool, storage, agent_ids=[agent_id], options=ON) == {"skipped": 1}
    assert UUID(await lazy(pool, storage, agent_id, "anna")).version == 5


@pytest.mark.parametrize(("text", "on"), [("on", True), ("True", True), ("off", False), ("false", False)])
def test_the_setting_is_on_or_off(text, on):
    assert (load_settings(agent_sync_templates=text).agent_sync_templates == "on") is on


def test_a_setting_that_is_neither_is_named():
    with pytest.raises(Misconfigured, match=r"AGENT_SYNC_TEMPLATES.*`on` or `off`"):
        load_settings(AGENT_SYNC_TEMPLATES="maybe")
