"""Configurations of the registry as agents: the same projection, from another source.

Neither source touches what is the other's.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.sync_storage import SingleAgentStore, count_writes, get_assistant, plan_changes

from robyn_server.agent_sync import (
    CONFIGURATIONS,
    AgentRejected,
    AgentSyncOptions,
    AgentSyncScope,
    is_feed_installed,
    lazy_sync_agent,
    options_of_configurations,
    parse_agent_sources,
    probe_catalogue,
    retire_absent_agents,
    startup_agent_sync,
    sync_changed_agents,
    sync_named_agent,
)
from robyn_server.core.catalogue.fields import AgentSource, SyncAction
from robyn_server.core.errors import Conflict
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.agent_sync.view import AgentSyncView

ALL = AgentSyncScope("all")
OPTIONS = options_of_configurations(AgentSyncOptions(scope=ALL, default_model="offline:demo"))


class Registry:
    """Configures types of agents as a tenant would."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def configure(self, agent_id: str, tenant: UUID | None = None, **columns: Any) -> UUID:
        """The configuration's id."""
        await self.pool.execute(
            "insert into mcp.agent_manifests (agent_id) values ($1) on conflict (agent_id) do nothing", agent_id
        )
        manifest = await self.pool.fetchval("select id from mcp.agent_manifests where agent_id = $1", agent_id)
        row = {"tenant_id": tenant or uuid4(), "manifest_id": manifest, "name": agent_id, **columns}
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        return await self.pool.fetchval(
            f"insert into mcp.agent_configurations ({', '.join(row)}) values ({places}) returning id", *row.values()
        )

    async def change(self, config_id: UUID, **columns: Any) -> None:
        for column, value in columns.items():
            await self.pool.execute(
                f"update mcp.agent_configurations set {column} = $2 where id = $1", config_id, value
            )


@pytest.fixture
async def registry(pool, real_pool):
    """Empty, as is the catalogue beside it."""
    await real_pool.execute("truncate mcp.agent_manifests cascade")
    return Registry(real_pool)


@pytest.fixture
def configured(system_pool):
    """Where assistants of configurations are written."""
    return PostgresSyncStore(system_pool, AgentSource.CONFIGURATION)


@pytest.fixture(params=["bulk", "one by one"])
def either(request, configured, system_pool):
    return SingleAgentStore(system_pool, AgentSource.CONFIGURATION) if request.param == "one by one" else configured


async def sync(system_pool: Any, storage: Any, options: AgentSyncOptions = OPTIONS) -> dict[str, int]:
    return await startup_agent_sync(system_pool, storage, scope=options.scope, owner_id="system", options=options)


async def test_a_configuration_is_an_assistant_with_its_model_prompt_and_sampling(registry, system_pool, either):
    tenant = uuid4()
    config_id = await registry.configure(
        "slack-bot",
        tenant,
        name="Slack bot",
        model_id="openai:gpt-4o-mini",
        temperature=0.2,
        max_tokens=300,
        system_prompt="You answer on Slack.",
        capabilities=["chat"],
    )
    assert await sync(system_pool, either) == {"total": 1, "created": 1, "updated": 0, "skipped": 0, "failed": 0}
    assistant = await get_assistant(either, config_id)
    assert (assistant["graph_id"], assistant["name"], assistant["organization_id"]) == ("agent", "Slack bot", tenant)
    assert assistant["config"]["configurable"] == {
        "model_name": "openai:gpt-4o-mini",
        "system_prompt": "You answer on Slack.",
        "temperature": 0.2,
        "max_tokens": 300,
        "supabase_organization_id": str(tenant),
    }
    metadata = assistant["metadata"]
    assert (metadata["agent_source"], metadata["agent_id"]) == ("configuration", "slack-bot")
    assert "supabase_agent_id" not in metadata


async def test_a_second_sync_writes_nothing(registry, system_pool, either, real_pool):
    await registry.configure("slack-bot", system_prompt="once")
    await sync(system_pool, either)
    writes = await count_writes(either, real_pool)
    assert (await sync(system_pool, either))["skipped"] == 1
    assert await count_writes(either, real_pool) == writes


async def test_without_a_model_the_default_model_serves(registry, system_pool, configured):
    config_id = await registry.configure("slack-bot", system_prompt="You answer.")
    await sync(system_pool, configured)
    assert (await get_assistant(configured, config_id))["config"]["configurable"]["model_name"] == "offline:demo"


async def test_what_only_a_registration_made_is_no_bare_default_agent(registry, system_pool, configured):
    config_id = await registry.configure("slack-bot")
    assert (await sync(system_pool, configured))["total"] == 0
    assert (
        await lazy_sync_agent(system_pool, configured, agent_id=config_id, owner_id="system", options=OPTIONS) is None
    )


async def test_an_agent_that_runs_in_instances_by_choice_is_left_out(registry, system_pool, either):
    config_id = await registry.configure("slack-bot", system_prompt="for the instance", execution="instances")
    assert (await sync(system_pool, either))["total"] == 0
    assert (await get_assistant(either, config_id))["origin"] == "instances"


async def test_an_agent_that_runs_here_by_choice_needs_neither_a_model_nor_a_prompt(registry, system_pool, either):
    config_id = await registry.configure("slack-bot", execution="here")
    assert (await sync(system_pool, either))["created"] == 1
    assert (await get_assistant(either, config_id))["config"]["configurable"]["model_name"] == "offline:demo"


async def test_an_agent_that_moves_here_and_back_is_one_assistant_that_nobody_fights_about(
    registry, system_pool, either, real_pool
):
    config_id = await registry.configure("slack-bot")
    await registry.change(config_id, system_prompt="Answer.")
    assert (await sync(system_pool, either))["updated"] == 1
    here = await get_assistant(either, config_id)
    assert (here["origin"], here["graph_id"], here["retired_at"]) == ("configuration", "agent", None)
    assert here["config"]["configurable"]["system_prompt"] == "Answer."
    await registry.change(config_id, system_prompt=None)
    assert (await sync(system_pool, either))["total"] == 0
    assert await retire_absent_agents(system_pool, either, ALL, OPTIONS) == 0
    back = await get_assistant(either, config_id)
    assert (back["origin"], back["graph_id"], back["retired_at"]) == ("instances", "instances", None)
    assert await sync_named_agent(system_pool, either, config_id, options=OPTIONS) is None
    await registry.change(config_id, system_prompt="Answer.")
    assert (await sync(system_pool, either))["updated"] == 1
    versions = "select array_agg(graph_id order by version) from agenthall.assistant_versions where assistant_id = $1"
    assert await real_pool.fetchval(versions, config_id) == [
        *("instances", "instances", "agent"),
        *("instances", "instances", "agent"),
    ]


async def test_a_reading_from_before_a_move_to_instances_is_not_written(registry, system_pool, configured):
    config_id = await registry.configure("slack-bot", system_prompt="x")
    await sync(system_pool, configured)
    read = await get_assistant(configured, config_id)
    await registry.change(config_id, execution="instances")
    payload = {**read, "metadata": read["metadata"] | {"synced_at": "2100-01-01T00:00:00+00:00"}, "name": "late"}
    with pytest.raises(Conflict):
        await configured.assistants.update(str(config_id), payload, "system")
    with pytest.raises(Conflict):
        await configured.assistants.create(payload, "system")
    assert (await get_assistant(configured, config_id))["origin"] == "instances"


async def test_a_disabled_or_deleted_configuration_is_retired_and_comes_back(registry, system_pool, configured):
    disabled, deleted = [await registry.configure(name, system_prompt="x") for name in ("slack-bot", "cli")]
    await sync(system_pool, configured)
    await registry.change(disabled, enabled=False)
    await registry.pool.execute("delete from mcp.agent_configurations where id = $1", deleted)
    counts = await sync_changed_agents(system_pool, configured, agent_ids=[disabled, deleted], options=OPTIONS)
    assert counts == {"missing": 2}
    assert (await get_assistant(configured, disabled))["retired_at"] is not None
    await registry.change(disabled, enabled=True)
    assert await sync_changed_agents(system_pool, configured, agent_ids=[disabled], options=OPTIONS) == {"updated": 1}
    assert (await get_assistant(configured, disabled))["retired_at"] is None


async def test_a_pass_over_one_source_never_retires_the_other(registry, catalogue, pool, system_pool, configured):
    of_catalogue = PostgresSyncStore(system_pool)
    agent_id, config_id = await catalogue.add_agent(), await registry.configure("slack-bot", system_prompt="x")
    await startup_agent_sync(pool, of_catalogue, scope=ALL, owner_id="system")
    await sync(system_pool, configured)
    assert await retire_absent_agents(pool, of_catalogue, ALL) == 0
    assert await retire_absent_agents(system_pool, configured, ALL, OPTIONS) == 0
    await registry.change(config_id, enabled=False)
    await catalogue.update_agent(agent_id, status="off")
    assert await retire_absent_agents(pool, of_catalogue, ALL) == 1
    assert (await get_assistant(configured, config_id))["retired_at"] is None
    assert await retire_absent_agents(system_pool, configured, ALL, OPTIONS) == 1


async def test_asking_one_source_for_an_agent_of_the_other_changes_nothing(
    registry, catalogue, pool, system_pool, configured
):
    of_catalogue = PostgresSyncStore(system_pool)
    agent_id, config_id = await catalogue.add_agent(), await registry.configure("slack-bot", system_prompt="x")
    await startup_agent_sync(pool, of_catalogue, scope=ALL, owner_id="system")
    await sync(system_pool, configured)
    assert await sync_named_agent(pool, of_catalogue, config_id) is None
    assert await sync_named_agent(system_pool, configured, agent_id, options=OPTIONS) is None
    assert (await get_assistant(configured, config_id))["retired_at"] is None
    assert (await get_assistant(of_catalogue, agent_id))["retired_at"] is None


async def test_an_id_that_both_sources_have_is_a_failure_that_is_named(
    registry, catalogue, pool, system_pool, either, real_pool
):
    of_catalogue, both = PostgresSyncStore(system_pool), uuid4()
    await catalogue.add_agent(id=both, name="of the catalogue")
    await registry.configure("slack-bot", id=both, system_prompt="x")
    await startup_agent_sync(pool, of_catalogue, scope=ALL, owner_id="system")
    assert (await sync(system_pool, either))["failed"] == 1
    await startup_agent_sync(pool, of_catalogue, scope=ALL, owner_id="system")
    reason = "select failure from agenthall.agent_sync where agent_id = $1 and source = 'configuration'"
    told = await real_pool.fetchval(reason, both)
    assert str(both) in told
    assert "another source (catalogue)" in told, "the catalogue's own success does not hide it"
    assert (await get_assistant(of_catalogue, both))["name"] == "of the catalogue"
    with pytest.raises(AgentRejected, match="another source"):
        await lazy_sync_agent(system_pool, either, agent_id=both, owner_id="system", options=OPTIONS)
    view = AgentSyncView(system_pool, AgentSource.CONFIGURATION)
    changes = await plan_changes(system_pool, view, scope=ALL, options=OPTIONS)
    assert [(change.action, "another source" in (change.reason or "")) for change in changes] == [("failed", True)]


async def test_an_id_stays_with_the_source_that_had_it_first(registry, catalogue, pool, system_pool, either):
    of_catalogue, both = PostgresSyncStore(system_pool), uuid4()
    await catalogue.add_agent(id=both)
    await startup_agent_sync(pool, of_catalogue, scope=ALL, owner_id="system")
    await catalogue.update_agent(both, status="off")
    await retire_absent_agents(pool, of_catalogue, ALL)
    await registry.configure("slack-bot", id=both, system_prompt="x")
    assert (await sync(system_pool, either))["failed"] == 1
    assert (await get_assistant(of_catalogue, both))["origin"] == "catalogue"
    await catalogue.update_agent(both, status="active")
    assert (await startup_agent_sync(pool, of_catalogue, scope=ALL, owner_id="system"))["updated"] == 1


async def test_the_scope_is_of_tenants_and_none_is_nothing(registry, system_pool, configured):
    mine, other = uuid4(), uuid4()
    config_id = await registry.configure("slack-bot", mine, system_prompt="x")
    await registry.configure("slack-bot", other, system_prompt="y")
    none = options_of_configurations(AgentSyncOptions())
    assert (await sync(system_pool, configured, none))["total"] == 0
    some = options_of_configurations(AgentSyncOptions(scope=AgentSyncScope.orgs([mine])))
    assert (await sync(system_pool, configured, some))["created"] == 1
    asked = {"agent_id": config_id, "owner_id": "system", "options": OPTIONS}
    assert await lazy_sync_agent(system_pool, configured, **asked, organizations=frozenset({other})) is None
    assert await lazy_sync_agent(system_pool, configured, **asked, organizations=frozenset({mine})) == str(config_id)


async def test_the_contract_is_whole_and_the_registry_tells_of_its_edits(registry, system_pool):
    found = await probe_catalogue(system_pool, CONFIGURATIONS)
    assert (found.problems, found.absent_columns) == ([], ())
    assert await is_feed_installed(system_pool, CONFIGURATIONS)


async def test_edits_are_announced_by_id_and_a_registration_is_not(registry, agent_sync_dsn):
    heard: list[str] = []
    listening = await asyncpg.connect(agent_sync_dsn)
    await listening.add_listener("agenthall_configurations", lambda *said: heard.append(said[3]))
    bare = await registry.configure("bare")
    config_id = await registry.configure("slack-bot", system_prompt="x")
    await registry.change(config_id, temperature=0.5)
    await registry.change(config_id, max_workload=3)
    await registry.change(config_id, enabled=False)
    await registry.change(bare, configuration=json.dumps({"a": 1}))
    await listening.execute("select 1")  # notifications that were sent before arrive before this answer
    await listening.close()
    assert heard == [str(config_id)] * 3


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("catalogue", (AgentSource.CATALOGUE,)),
        (" Configurations ", (AgentSource.CONFIGURATION,)),
        ("catalogue,configurations,catalogue", (AgentSource.CATALOGUE, AgentSource.CONFIGURATION)),
    ],
)
def test_sources_are_read_each_once_in_their_order(text, sources):
    assert parse_agent_sources(text) == sources


@pytest.mark.parametrize("text", ["", "catalog", "catalogue,registry"])
def test_an_unknown_source_is_named(text):
    with pytest.raises(ValueError, match="AGENT_SYNC_SOURCES"):
        parse_agent_sources(text)


async def test_the_dry_run_says_what_a_sync_would_do(registry, system_pool, configured):
    await registry.configure("slack-bot", system_prompt="x")
    view = AgentSyncView(system_pool, AgentSource.CONFIGURATION)
    changes = await plan_changes(system_pool, view, scope=ALL, options=OPTIONS)
    assert [change.action for change in changes] == [SyncAction.CREATED]
    await sync(system_pool, configured)
    changes = await plan_changes(system_pool, view, scope=ALL, options=OPTIONS)
    assert [change.action for change in changes] == [SyncAction.SKIPPED]
