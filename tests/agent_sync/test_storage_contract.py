"""The contract of every storage and of both forms of the catalogue.

The suite runs on the protocol's three methods in memory, and on Postgres; on the five tables, and on a view.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from uuid import uuid4

import pytest
from catalogues.catalogue_tables import SOURCES, CatalogueEditor, catalogue_database
from catalogues.sync_storage import MemoryStorage, SingleAgentStore, count_writes, get_assistant
from structlog.testing import capture_logs

from robyn_server.agent_sync import (
    AgentRejected,
    AgentSyncOptions,
    AgentSyncResult,
    AgentSyncScope,
    _write_back_langgraph_assistant_id,
    fetch_active_agent_by_id,
    retry_write_backs,
    startup_agent_sync,
    sync_single_agent,
)
from robyn_server.agent_sync.engine.sync_log import LINES, SyncLog
from robyn_server.core.errors import CatalogueUnavailable, Conflict

ALL = AgentSyncScope("all")


@pytest.fixture(params=SOURCES)
def form(request):
    return request.param


def of_source(pool, options=AgentSyncOptions()):  # noqa: B008  frozen
    return replace(options, source=getattr(pool, "source", options.source))


async def sync_one(pool, storage, agent_id, options=AgentSyncOptions(), **given):  # noqa: B008  frozen
    options = of_source(pool, options)
    agent = await fetch_active_agent_by_id(pool, agent_id, source=options.source)
    return await sync_single_agent(pool, storage, agent=agent, owner_id="system", options=options, **given)


async def startup(pool, storage, scope=ALL, options=AgentSyncOptions(), **given):  # noqa: B008  frozen
    options = of_source(pool, options)
    return await startup_agent_sync(pool, storage, scope=scope, owner_id="system", options=options, **given)


async def test_an_agent_is_created_then_skipped_then_updated(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(system_prompt="first")
    assert await sync_one(pool, storage, agent_id) == AgentSyncResult(
        assistant_id=str(agent_id), action="created", wrote_back_assistant_id=True
    )
    assert await sync_one(pool, storage, agent_id) == AgentSyncResult(assistant_id=str(agent_id), action="skipped")
    await catalogue.update_agent(agent_id, system_prompt="second")
    assert await sync_one(pool, storage, agent_id) == AgentSyncResult(assistant_id=str(agent_id), action="updated")
    row = await get_assistant(storage, agent_id)
    assert row["config"]["configurable"]["system_prompt"] == "second"
    assert row["version"] == 2


async def test_a_result_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        AgentSyncResult(assistant_id="x", action="created").action = "skipped"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bob"},
        {"description": "new"},
        {"graph_id": "other"},
        {"sampling_params": json.dumps({"temperature": 1})},
        {"organization_id": uuid4()},
        {"organization_id": None},
        {"system_prompt": None},
    ],
)
async def test_every_change_of_an_agent_updates_its_assistant(pool, catalogue, storage, change):
    agent_id = await catalogue.add_agent(system_prompt="prompt")
    await sync_one(pool, storage, agent_id)
    await catalogue.update_agent(agent_id, **change)
    assert (await sync_one(pool, storage, agent_id)).action == "updated"
    assert (await sync_one(pool, storage, agent_id)).action == "skipped"


async def test_a_key_that_leaves_the_catalogue_leaves_the_assistant(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(sampling_params={"temperature": 1})
    await sync_one(pool, storage, agent_id)
    await catalogue.update_agent(agent_id, sampling_params=None)
    await sync_one(pool, storage, agent_id)
    assert "temperature" not in (await get_assistant(storage, agent_id))["config"]["configurable"]


async def test_what_members_added_survives_a_sync_and_causes_none(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent(system_prompt="first")
    await sync_one(pool, storage, agent_id)
    if isinstance(storage, MemoryStorage):
        row = storage.assistants.rows[str(agent_id)]
        row["config"] |= {"recursion_limit": 9}
        row["config"]["configurable"]["theirs"] = 1
        row["metadata"]["tag"] = "x"
    else:
        await real_pool.execute(
            """update agenthall.assistants set version = 2, metadata = metadata || '{"tag": "x"}',
               config = jsonb_set(config, '{configurable,theirs}', '1') || '{"recursion_limit": 9}'"""
        )
    assert (await sync_one(pool, storage, agent_id)).action == "skipped"
    await catalogue.update_agent(agent_id, system_prompt="second")
    assert (await sync_one(pool, storage, agent_id)).action == "updated"
    row = await get_assistant(storage, agent_id)
    assert (row["config"]["recursion_limit"], row["config"]["configurable"]["theirs"]) == (9, 1)
    assert row["metadata"]["tag"] == "x"


async def test_a_whole_scope_is_counted_logged_once_and_idle_the_second_time(pool, catalogue, storage, real_pool):
    await catalogue.add_agents(25)
    with capture_logs() as logs:
        first = await startup(pool, storage)
    assert first == {"total": 25, "created": 25, "updated": 0, "skipped": 0, "failed": 0}
    assert [(line["event"], line["created"]) for line in logs if "created" in line] == [("agent sync finished", 25)]
    assert [line["event"] for line in logs].count("agent created") == LINES, "the counters have the others"
    before = await count_writes(storage, real_pool)
    pool.statements.clear()
    assert await startup(pool, storage) == {"total": 25, "created": 0, "updated": 0, "skipped": 25, "failed": 0}
    assert await count_writes(storage, real_pool) == before == 25
    # one page, and nothing written back; without fingerprints that match, the agents are read after them
    assert len(pool.statements) == (2 if isinstance(storage, SingleAgentStore) else 1)


async def test_an_update_is_one_line_with_the_fields_that_changed(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(name="Ada", system_prompt="first", sampling_params={"top_p": 1, "seed": 2})
    await startup(pool, storage)
    await catalogue.update_agent(agent_id, name="Eve", system_prompt="second", sampling_params='{"seed": 3}')
    with capture_logs() as logs:
        await startup(pool, storage)
    (line,) = [line for line in logs if line["event"] == "agent updated"]
    changed = "name, configurable.seed, configurable.system_prompt, configurable.top_p"
    assert (line["agent"], line["fields"], line["agent_id"]) == ("Eve", changed, str(agent_id))


async def test_a_server_that_repeats_a_sync_logs_what_is_new(pool, catalogue, storage):
    await catalogue.add_agent()
    bad, log = await catalogue.add_agent(name=None), SyncLog()

    async def logged():
        with capture_logs() as logs:
            await startup(pool, storage, log=log)
        return [line["event"] for line in logs if line["log_level"] != "debug"]

    assert sorted(await logged()) == ["agent created", "agent sync failed", "agent sync finished"]
    assert await logged() == []
    await catalogue.update_agent(bad, name="")
    assert await logged() == ["agent sync failed"], "for another reason"
    await catalogue.update_agent(bad, name="Eve")
    assert sorted(await logged()) == ["agent created", "agent sync finished"]
    await catalogue.update_agent(bad, name="")
    assert sorted(await logged()) == ["agent sync failed", "agent sync finished"]


async def test_of_an_error_that_nobody_foresaw_the_log_has_the_traceback(pool, catalogue, monkeypatch):
    storage, bad = MemoryStorage(), await catalogue.add_agent(name="Bad")
    await catalogue.add_agent(name="Good")
    rejected = await catalogue.add_agent(name=None)
    create = storage.assistants.create

    async def create_or_fail(payload, owner_id):
        return {}["no such key"] if payload["name"] == "Bad" else await create(payload, owner_id)

    monkeypatch.setattr(storage.assistants, "create", create_or_fail)
    with capture_logs() as logs:
        assert (await startup(pool, storage))["created"] == 1
    errors = {line["agent_id"]: line["exc_info"] for line in logs if line["event"] == "agent sync failed"}
    assert errors[str(rejected)] is None, "the reason says it all"
    error = errors[str(bad)]
    assert isinstance(error, KeyError) and error.__traceback__ is not None


async def test_pages_give_the_same_counters(pool, catalogue, storage):
    await catalogue.add_agents(10)
    await catalogue.add_agent(name=None)
    counters = await startup(pool, storage, options=AgentSyncOptions(page_size=4))
    assert counters == {"total": 11, "created": 10, "updated": 0, "skipped": 0, "failed": 1}


async def test_only_the_scope_is_synced(pool, catalogue, storage):
    organization = uuid4()
    await catalogue.add_agents(3)
    await catalogue.add_agent(organization_id=organization)
    assert (await startup(pool, storage, AgentSyncScope.orgs([organization])))["total"] == 1
    assert (await startup(pool, storage, AgentSyncScope()))["total"] == 0


async def test_a_graph_that_is_not_served_is_a_failure(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(graph_id="unheard")
    await catalogue.add_agent(graph_id=None)
    with capture_logs() as logs:
        counters = await startup(pool, storage, graphs={"agent"})
    assert (counters["created"], counters["failed"]) == (1, 1)
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert line["agent_id"] == str(agent_id)
    assert "agents.graph_id" in line["reason"]
    assert "unheard" in line["reason"]
    with pytest.raises(AgentRejected):
        await sync_one(pool, storage, agent_id, graphs=["agent"])


async def test_reasons_in_the_log_are_bounded(pool, catalogue, storage):
    for _ in range(30):
        await catalogue.add_agent(name=None)
    with capture_logs() as logs:
        assert (await startup(pool, storage))["failed"] == 30
    assert len([line for line in logs if line["log_level"] == "warning"]) == 21


async def test_a_catalogue_that_goes_away_ends_the_sync_with_an_error(pool, catalogue, storage):
    for relation in ("public.agents a", "app.agenthall_agents a"):
        pool.refuse[relation] = ConnectionResetError("gone")
    with pytest.raises(CatalogueUnavailable):
        await startup(pool, storage)


async def test_two_syncs_at_once_create_each_agent_once(pool, catalogue, storage, real_pool):
    await catalogue.add_agents(100)
    both = await asyncio.gather(startup(pool, storage), startup(pool, storage))
    assert sum(each["created"] for each in both) == 100
    assert sum(each["skipped"] for each in both) == 100
    assert sum(each["failed"] + each["updated"] for each in both) == 0
    assert await count_writes(storage, real_pool) == 100


async def test_an_id_that_is_somebody_elses_is_a_failure_with_a_reason(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    agent = await fetch_active_agent_by_id(pool, agent_id, source=pool.source)
    await sync_single_agent(pool, storage, agent=agent, owner_id="somebody")
    with pytest.raises(Conflict, match="somebody else"):
        await sync_single_agent(pool, storage, agent=agent, owner_id="other")


async def test_the_assistants_id_is_written_back_only_where_it_differs(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    assert (await sync_one(pool, storage, agent_id)).wrote_back_assistant_id
    assert await catalogue.written_back_id(agent_id) == str(agent_id)
    pool.statements.clear()
    assert not (await sync_one(pool, storage, agent_id)).wrote_back_assistant_id
    assert not [each for each in pool.statements if "update" in each]
    assert not await _write_back_langgraph_assistant_id(pool, agent_id=agent_id, assistant_id=str(agent_id))


@pytest.mark.parametrize("column_type", ["uuid", "text", "varchar(40)"])
async def test_the_column_written_back_may_be_of_any_of_these_types(column_type, postgres):
    async with catalogue_database(postgres, assistant_id=column_type) as pool:
        catalogue = CatalogueEditor(pool)
        agent_id = await catalogue.add_agent()
        assert (await sync_one(pool, MemoryStorage(), agent_id)).wrote_back_assistant_id
        assert await catalogue.written_back_id(agent_id) == str(agent_id)
        assert not await _write_back_langgraph_assistant_id(pool, agent_id=agent_id, assistant_id=str(agent_id))


async def test_write_back_can_be_switched_off(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    assert not (
        await sync_one(pool, storage, agent_id, options=AgentSyncOptions(write_back=False))
    ).wrote_back_assistant_id
    await startup(pool, storage, options=AgentSyncOptions(write_back=False))
    assert await catalogue.written_back_id(agent_id) is None


async def test_a_write_back_that_failed_is_no_failure_and_a_later_skip_repairs_it(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent()
    pool.refuse["set langgraph_assistant_id"] = RuntimeError("their trigger says no")
    with capture_logs() as logs:
        result = await sync_one(pool, storage, agent_id)
    assert (result.action, result.wrote_back_assistant_id) == ("created", False)
    assert [line["reason"] for line in logs if "reason" in line] == ["their trigger says no"]
    assert not await _write_back_langgraph_assistant_id(pool, agent_id=agent_id, assistant_id=str(agent_id))
    assert (await startup(pool, storage))["skipped"] == 1
    pool.refuse.clear()
    before = await count_writes(storage, real_pool)
    assert (await sync_one(pool, storage, agent_id)).wrote_back_assistant_id
    assert await catalogue.written_back_id(agent_id) == str(agent_id)
    assert await count_writes(storage, real_pool) == before


async def test_pending_write_backs_are_tried_again_without_reading_the_agents(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    pool.refuse["set langgraph_assistant_id"] = OSError("away")
    await sync_one(pool, storage, agent_id)
    assert await retry_write_backs(pool, storage) == 0
    pool.refuse.clear()
    assert await retry_write_backs(pool, storage) == 1
    assert await catalogue.written_back_id(agent_id) == str(agent_id)
    assert await retry_write_backs(pool, storage) == 0
