"""An agent whose id another assistant has: no path of agent sync changes or retires an assistant of another origin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import pytest
from catalogues.catalogue_tables import ALL
from catalogues.sync_storage import SingleAgentStore, plan_changes, run_full_pass
from catalogues.template_agents import NEVER_FRESH, OFF, ON

from robyn_server.agent_sync import (
    AgentRejected,
    lazy_sync_agent,
    plan_named_agent,
    retire_absent_agents,
    startup_agent_sync,
    sync_changed_agents,
    sync_named_agent,
)
from robyn_server.core.catalogue.fields import AgentSource, Origin, SyncAction
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import default_assistant_id
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

TEMPLATE = UUID("7e000000-0000-4000-8000-000000000001")
INSERT = """
insert into agenthall.assistants
  (assistant_id, graph_id, name, config, metadata, owner_id, organization_id, visibility, catalogue_hash, template_id,
   origin)
values ($1, 'agent', 'Occupant', '{"configurable": {"system_prompt": "mine"}}', '{"kept": true}', $2, $3, $4, $5, $6, $7)
"""
ROW = "select to_jsonb(a)::text from agenthall.assistants a where a.assistant_id = $1"
VERSIONS = "select count(*) from agenthall.assistant_versions where assistant_id = $1"
FAILURE = "select failure from agenthall.agent_sync where agent_id = $1 and source = 'catalogue'"


class Occupant:
    """An assistant with an id that the catalogue then gives to an agent."""

    def __init__(self, pool: Any, kind: str) -> None:
        self._pool = pool
        self.kind = kind
        self.id = {"default": default_assistant_id("agent"), "copy": uuid5(TEMPLATE, "anna")}.get(kind, uuid4())

    async def create(self) -> None:
        owner, organization, visibility, digest, template, origin = {
            "default": ("system", None, "everyone", None, None, "graph"),
            "client": ("anna", None, "private", None, None, "client"),
            "copy": ("anna", uuid4(), "private", "digest", TEMPLATE, "catalogue"),
            "configuration": ("system", uuid4(), "organization", "digest", None, "configuration"),
        }[self.kind]
        await self._pool.execute(INSERT, self.id, owner, organization, visibility, digest, template, origin)

    @property
    def options(self) -> Any:
        """A pass without templates retires every copy."""
        return ON if self.kind == "copy" else OFF

    async def state(self) -> tuple[str, int]:
        return await self._pool.fetchval(ROW, self.id), await self._pool.fetchval(VERSIONS, self.id)


@pytest.fixture(params=["default", "client", "copy", "configuration"])
async def occupant(request, pool, catalogue, postgres_storage, real_pool):
    occupant = Occupant(real_pool, request.param)
    await occupant.create()
    if occupant.kind == "copy":
        await catalogue.add_agent(id=TEMPLATE, is_global=False)
        await sync_changed_agents(pool, postgres_storage, agent_ids=[TEMPLATE], options=ON)
    return occupant


async def pass_over_all(pool, store, agent_id, options):
    await startup_agent_sync(pool, store, scope=ALL, owner_id="system", options=options)
    await retire_absent_agents(pool, store, ALL, options)


async def pass_one_by_one(pool, store, agent_id, options):
    await pass_over_all(pool, SingleAgentStore(store._pool), agent_id, options)


async def changed(pool, store, agent_id, options):
    await sync_changed_agents(pool, store, agent_ids=[agent_id], options=options)


async def named(pool, store, agent_id, options):
    await sync_named_agent(pool, store, agent_id, options=options)


def lazily(owner_id):
    async def sync(pool, store, agent_id, options):
        with pytest.raises((AgentRejected, Conflict)):
            await lazy_sync_agent(pool, store, agent_id=agent_id, owner_id=owner_id, cache_ttl=NEVER_FRESH, options=OFF)

    return sync


Path = Callable[[Any, Any, UUID, Any], Awaitable[None]]
PATHS: dict[str, Path] = {
    "pass": pass_over_all,
    "pass one by one": pass_one_by_one,
    "feed": changed,
    "request": named,
    "lazily by the system": lazily("system"),
    "lazily by its owner": lazily("anna"),
}


@pytest.mark.parametrize("path", PATHS)
async def test_an_agent_never_takes_the_assistant_that_has_its_id(
    path, occupant, catalogue, pool, postgres_storage, real_pool
):
    before = await occupant.state()
    await catalogue.add_agent(id=occupant.id, name="Secret", system_prompt="TOP SECRET", is_global=True)
    other = await catalogue.add_agent(name="Other", is_global=True)
    await PATHS[path](pool, postgres_storage, occupant.id, occupant.options)
    assert await occupant.state() == before
    assert str(occupant.id) in await real_pool.fetchval(FAILURE, occupant.id)
    if path.startswith("pass"):
        assert await real_pool.fetchval(ROW, other), "the others of the page are synced"


@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith("lazily")])
async def test_deleting_the_agent_retires_no_assistant_of_another_origin(
    path, occupant, catalogue, pool, postgres_storage
):
    before = await occupant.state()
    await catalogue.add_agent(id=occupant.id, is_global=True)
    for status in ("active", "off"):
        await catalogue.update_agent(occupant.id, status=status)
        await PATHS[path](pool, postgres_storage, occupant.id, occupant.options)
    assert await occupant.state() == before


async def test_the_reason_names_what_has_the_id(occupant, catalogue, pool, postgres_storage, view, real_pool):
    await catalogue.add_agent(id=occupant.id, is_global=True)
    assert (await run_full_pass(pool, postgres_storage, options=occupant.options))["failed"] == 1
    reason = await real_pool.fetchval(FAILURE, occupant.id)
    named_as = {
        "default": "the default assistant of a graph has this id",
        "client": "taken by somebody else's",
        "copy": "taken by somebody else's",
        "configuration": "an agent of another source (configuration) has this id",
    }[occupant.kind]
    assert named_as in reason
    changes = await plan_changes(pool, view, scope=ALL, options=occupant.options)
    assert [each.reason for each in changes if each.action == SyncAction.FAILED] == [reason]
    planned = await plan_named_agent(pool, view, occupant.id, options=occupant.options)
    assert planned is not None
    assert (planned.action, planned.reason) == (SyncAction.FAILED, reason)


async def test_a_copy_keeps_its_owner_when_an_agent_has_its_id(catalogue, pool, postgres_storage, real_pool):
    template = await catalogue.add_agent(is_global=False, system_prompt="template")
    copy_id = await lazy_sync_agent(pool, postgres_storage, agent_id=template, owner_id="anna", options=ON)
    await catalogue.add_agent(id=UUID(copy_id), is_global=True, system_prompt="TOP SECRET")
    for named in (template, copy_id):
        assert copy_id == await lazy_sync_agent(
            pool, postgres_storage, agent_id=named, owner_id="anna", cache_ttl=NEVER_FRESH, options=ON
        )
    assert "TOP SECRET" not in await real_pool.fetchval(ROW, UUID(copy_id))


async def test_a_copy_is_not_made_of_an_assistant_that_its_user_created(catalogue, pool, postgres_storage, real_pool):
    agent_id = await catalogue.add_agent(is_global=False)
    occupant = Occupant(real_pool, "client")
    occupant.id = uuid5(agent_id, "anna")
    await occupant.create()
    before = await occupant.state()
    for _ in range(2):
        with pytest.raises((AgentRejected, Conflict)):
            await lazy_sync_agent(pool, postgres_storage, agent_id=agent_id, owner_id="anna", options=ON)
    assert await occupant.state() == before


@pytest.mark.parametrize("change", ["origin = 'client', catalogue_hash = null", "origin = 'configuration'"])
async def test_the_database_refuses_another_origin(change, catalogue, pool, postgres_storage, real_pool):
    await catalogue.add_agent()
    await run_full_pass(pool, postgres_storage)
    with pytest.raises(asyncpg.CheckViolationError, match="never changes"):
        await real_pool.execute(f"update agenthall.assistants set {change}")


@pytest.mark.parametrize(
    "columns",
    [
        "origin = 'graph', visibility = 'everyone', owner_id = 'anna'",
        "origin = 'graph', visibility = 'everyone', organization_id = gen_random_uuid()",
        "origin = 'client', visibility = 'everyone'",
        "origin = 'client', catalogue_hash = 'x'",
        "origin = 'catalogue'",
        "origin = 'somewhere'",
    ],
)
async def test_an_origin_has_its_form(columns, pool, real_pool):
    given = dict(each.split(" = ") for each in columns.split(", "))
    row = {"assistant_id": "gen_random_uuid()", "graph_id": "'agent'", "name": "'x'", "owner_id": "'system'"}
    row |= {"visibility": "'private'"} | given
    with pytest.raises(asyncpg.CheckViolationError):
        await real_pool.execute(
            f"insert into agenthall.assistants ({', '.join(row)}) values ({', '.join(row.values())})"
        )


@pytest.mark.parametrize(
    ("damage", "version"),
    [("retired_at = now()", 2), ("graph_id = 'another'", 3), ("retired_at = now(), name = 'x'", 2)],
)
async def test_a_damaged_default_assistant_is_restored(damage, version, pool, postgres_storage, real_pool):
    await postgres_storage.ensure_default_assistants(["agent"])
    await real_pool.execute(f"update agenthall.assistants set version = version + 1, {damage}")
    for _ in range(2):
        await postgres_storage.ensure_default_assistants(["agent", "echo"])
    rows = await real_pool.fetch(
        "select graph_id, version from agenthall.assistants where retired_at is null and origin = 'graph' order by 1"
    )
    assert [tuple(row) for row in rows] == [("agent", version), ("echo", 1)]
    await real_pool.execute("delete from agenthall.assistants")
    await postgres_storage.ensure_default_assistants(["agent"])
    assert await real_pool.fetchval("select origin from agenthall.assistants") == Origin.GRAPH


async def test_a_default_assistant_has_its_graphs_description_unless_somebody_gave_it_another(
    pool, postgres_storage, real_pool
):
    described = "select description, version from agenthall.assistants where origin = 'graph'"
    for given, expected in (
        ({}, (None, 1)),
        ({"agent": "Answers."}, ("Answers.", 2)),
        ({"agent": "New."}, ("Answers.", 2)),
    ):
        for _ in range(2):
            await postgres_storage.ensure_default_assistants(["agent"], given)
        assert tuple(await real_pool.fetchrow(described)) == expected
    await real_pool.execute("delete from agenthall.assistants")
    await postgres_storage.ensure_default_assistants(["agent"], {"agent": "Answers."})
    assert tuple(await real_pool.fetchrow(described)) == ("Answers.", 1)


async def test_what_members_added_stays_in_their_organization(catalogue, pool, either, real_pool):
    agent_id = await catalogue.add_agent(name="of A")
    await run_full_pass(pool, either)
    await real_pool.execute(
        """update agenthall.assistants set version = version + 1, config = jsonb_set(config || '{"tags": ["of A"]}',
             '{configurable,mine}', '"of A"'), context = context || '{"mine": "of A"}',
             metadata = metadata || '{"note": "of A"}'"""
    )
    await catalogue.update_agent(agent_id, name="still of A")
    await run_full_pass(pool, either)
    assert (await real_pool.fetchval(ROW, agent_id)).count('"of A"') == 4, "an edit keeps it"
    await catalogue.update_agent(agent_id, organization_id=uuid4())
    await run_full_pass(pool, either)
    assert "of A" not in (await real_pool.fetchval(ROW, agent_id)).replace("still of A", "")


def test_every_source_is_an_origin():
    assert {Origin(source) for source in AgentSource} == {origin for origin in Origin if origin.is_synced}


async def test_the_catalogue_has_no_say_over_an_agent_that_a_configuration_left(
    catalogue, pool, system_pool, real_pool
):
    occupant = Occupant(real_pool, "configuration")
    await occupant.create()
    await PostgresSyncStore(system_pool, AgentSource.CONFIGURATION).retire([occupant.id])
    before = await occupant.state()
    await catalogue.add_agent(id=occupant.id)
    assert (await run_full_pass(pool, PostgresSyncStore(system_pool)))["failed"] == 1
    assert await occupant.state() == before
