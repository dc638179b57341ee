"""Reading the catalogue: one query a page, each row judged on its own, what is missing named."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.catalogue_tables import SOURCES, CatalogueEditor, catalogue_database
from catalogues.sync_storage import RecordingPool
from databases import fresh_database

from robyn_server.agent_sync import (
    AgentRejected,
    AgentSyncScope,
    fetch_active_agent_by_id,
    fetch_active_agents,
    probe_catalogue,
    retire_absent_agents,
    startup_agent_sync,
)
from robyn_server.agent_sync.catalogue_db.contract import REQUIRED, TYPES_OF_TABLES
from robyn_server.agent_sync.catalogue_db.reader import agent_pages
from robyn_server.agent_sync.errors import CatalogueAbsent
from robyn_server.core.errors import CatalogueUnavailable
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

ALL = AgentSyncScope("all")


@pytest.fixture(params=SOURCES)
def form(request):
    """The same agents are read from the five tables and from a view."""
    return request.param


def column_of(pool, column: str) -> str:
    """The name of a column of `agents`, or a path in `mcp_tools`, in reasons."""
    return f"agents.{column}" if pool.source.view is None else f"{pool.source.view}.{column}"


async def rejection_of(pool, agent_id: UUID) -> AgentRejected:
    failures: list[AgentRejected] = []
    assert await fetch_active_agents(pool, ALL, failures=failures, source=pool.source) == []
    assert [failure.agent_id for failure in failures] == [agent_id]
    assert str(agent_id) in failures[0].detail
    return failures[0]


async def test_an_agent_is_read_with_its_model_and_its_tools(pool, catalogue):
    other = uuid4()
    agent_id = await catalogue.add_agent(
        name="Ada",
        description="first",
        system_prompt="Be brief.",
        sampling_params={"temperature": 0.5},
        assistant_tool_ids=[other],
        graph_id="special",
        is_global=True,
        engine_id=await catalogue.add_engine("offline:demo"),
        engine_type="global",
    )
    await catalogue.add_tool(agent_id, "http://a:1", "x", auth_required=True)
    await catalogue.add_tool(agent_id, "http://b:1", "y")
    (agent,) = await fetch_active_agents(pool, ALL, source=pool.source)
    assert len(pool.statements) == 1
    assert (agent.agent_id, agent.name, agent.description) == (agent_id, "Ada", "first")
    assert (agent.system_prompt, agent.graph_id, agent.is_global) == ("Be brief.", "special", True)
    assert (agent.sampling_params, agent.assistant_tool_ids) == ({"temperature": 0.5}, [other])
    assert (agent.runtime_model_name, agent.langgraph_assistant_id) == ("offline:demo", None)
    assert {(t.endpoint_url, t.tool_name, t.auth_required) for t in agent.mcp_tools} == {
        ("http://a:1", "x", True),
        ("http://b:1", "y", False),
    }
    assert agent.read_at is not None
    assert agent == (await fetch_active_agent_by_id(pool, agent_id, source=pool.source)).model_copy(
        update={"read_at": agent.read_at}
    )


async def test_a_row_of_nulls_with_a_name_is_an_agent(pool, catalogue):
    agent_id = await catalogue.add_agent(organization_id=None)
    agent = await fetch_active_agent_by_id(pool, agent_id, source=pool.source)
    assert (agent.organization_id, agent.sampling_params, agent.mcp_tools, agent.is_global) == (None, {}, [], False)


async def test_only_active_agents_that_are_not_deleted_are_read(pool, catalogue, real_pool):
    disabled = await catalogue.add_agent(status="disabled")
    unknown = await catalogue.add_agent(status=None)
    deleted = await catalogue.add_agent()
    await real_pool.execute("update public.agents set deleted_at = now() where id = $1", deleted)
    assert await fetch_active_agents(pool, ALL, source=pool.source) == []
    for agent_id in (disabled, unknown, deleted, uuid4()):
        assert await fetch_active_agent_by_id(pool, agent_id, source=pool.source) is None


async def test_a_scope_of_organizations_reads_theirs_only(pool, catalogue):
    mine, other = uuid4(), uuid4()
    kept = {await catalogue.add_agent(organization_id=mine), await catalogue.add_agent(organization_id=other)}
    await catalogue.add_agent()
    await catalogue.add_agent(organization_id=None)
    agents = await fetch_active_agents(pool, AgentSyncScope.orgs([mine, other]), source=pool.source)
    assert {agent.agent_id for agent in agents} == kept


async def test_the_scope_none_asks_nothing(pool, catalogue):
    await catalogue.add_agent()
    assert await fetch_active_agents(pool, AgentSyncScope(), source=pool.source) == []
    assert pool.statements == []


async def test_an_agent_of_another_organization_is_not_even_read(pool, catalogue):
    organization = uuid4()
    agent_id = await catalogue.add_agent(organization_id=organization)
    nobodys = await catalogue.add_agent(organization_id=None)
    assert (
        await fetch_active_agent_by_id(pool, agent_id, organizations=frozenset([uuid4()]), source=pool.source) is None
    )
    assert await fetch_active_agent_by_id(pool, agent_id, organizations=frozenset(), source=pool.source) is None
    assert (
        await fetch_active_agent_by_id(pool, nobodys, organizations=frozenset([organization]), source=pool.source)
        is None
    )
    assert (
        await fetch_active_agent_by_id(pool, agent_id, organizations=frozenset([organization]), source=pool.source)
        is not None
    )


async def test_pages_go_by_key_and_leave_nobody_out(pool, catalogue):
    await catalogue.add_agents(7)
    await catalogue.add_agent(id=UUID(int=0))
    pages = [page async for page in agent_pages(pool, ALL, [], size=3, source=pool.source)]
    assert [len(page) for page in pages] == [3, 3, 2]
    ids = [agent.agent_id for page in pages for agent in page]
    assert ids == sorted(set(ids))
    assert len(pool.statements) == 3


@pytest.mark.parametrize(
    ("columns", "column"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"sampling_params": [1]}, "sampling_params"),
        ({"sampling_params": '"text"'}, "sampling_params"),
        ({"assistant_tool_ids": [None]}, "assistant_tool_ids.0"),
        ({"engine_id": uuid4()}, "engine_id"),
    ],
)
async def test_a_malformed_row_is_one_failure_that_names_agent_and_column(pool, catalogue, columns, column):
    rejection = await rejection_of(pool, await catalogue.add_agent(**columns))
    if column == "engine_id" and pool.source.view is not None:
        column = "engine_found"
    assert rejection.field == column_of(pool, column)


async def test_a_private_engine_is_a_failure_and_never_the_default_model(pool, catalogue):
    engine_id = await catalogue.add_engine("offline:demo")
    rejection = await rejection_of(pool, await catalogue.add_agent(engine_id=engine_id, engine_type="private"))
    assert rejection.field == column_of(pool, "engine_type")


async def test_an_engine_without_a_model_is_a_failure(pool, catalogue):
    rejection = await rejection_of(pool, await catalogue.add_agent(engine_id=await catalogue.add_engine(None)))
    view = pool.source.view
    assert rejection.field == ("global_ai_engines.language_model_id" if view is None else f"{view}.runtime_model_name")


async def test_a_tool_without_a_url_and_a_tool_that_is_not_there_are_failures(pool, catalogue, real_pool):
    agent_id = await catalogue.add_agent()
    tool_id = await catalogue.add_tool(agent_id, None, "x")
    prefix = "" if pool.source.view is None else f"{pool.source.view}."
    assert (await rejection_of(pool, agent_id)).field == f"{prefix}mcp_tools.0.endpoint_url"
    await real_pool.execute("delete from public.mcp_tools where id = $1", tool_id)
    assert (await rejection_of(pool, agent_id)).field == (
        f"{prefix}mcp_tools" if prefix else "agent_mcp_tools.mcp_tool_id"
    )


async def test_numbers_that_json_readers_refuse_are_one_failure(pool, catalogue):
    rejection = await rejection_of(pool, await catalogue.add_agent(sampling_params='{"temperature": 1e400}'))
    assert rejection.field.startswith(column_of(pool, "sampling_params"))


async def test_one_agent_that_cannot_be_served_is_told_to_who_asked_for_it(pool, catalogue):
    agent_id = await catalogue.add_agent(name=None)
    with pytest.raises(AgentRejected, match=r"agents\.name"):
        await fetch_active_agent_by_id(pool, agent_id, source=pool.source)


async def test_a_database_without_a_catalogue_is_told_from_a_broken_one(postgres):
    async with fresh_database(postgres) as dsn, asyncpg.create_pool(dsn, min_size=1, max_size=1) as bare:
        contract = await probe_catalogue(bare)
        assert contract.is_absent
        with pytest.raises(CatalogueAbsent):
            await fetch_active_agents(bare, ALL)


async def test_a_missing_table_and_a_missing_column_are_named(postgres):
    async with catalogue_database(
        postgres, sql="drop table public.ai_models; alter table public.agents drop column system_prompt"
    ) as broken:
        contract = await probe_catalogue(broken)
        assert contract.missing_tables == ("ai_models",)
        assert contract.missing_columns == ("agents.system_prompt",)
        with pytest.raises(
            CatalogueUnavailable, match=r"public\.ai_models is missing.*public\.agents\.system_prompt"
        ) as error:
            await fetch_active_agents(broken, ALL)
        assert not isinstance(error.value, CatalogueAbsent)


async def test_optional_columns_may_be_absent_and_are_reported(postgres):
    absent = ["description", "is_global", "sampling_params", "assistant_tool_ids", "langgraph_assistant_id"]
    absent += ["graph_id", "engine_type", "deleted_at"]
    drops = ", ".join(f"drop column {name}" for name in absent)
    sql = f"alter table public.agents {drops}; alter table public.mcp_tools drop column is_builtin, drop column auth_required"
    async with catalogue_database(postgres, sql=sql) as poor:
        catalogue = CatalogueEditor(poor)
        agent_id = await catalogue.add_agent()
        await poor.execute("insert into public.mcp_tools values ($1, 'http://a:1', 'x')", agent_id)
        await poor.execute("insert into public.agent_mcp_tools values ($1, $1)", agent_id)
        await catalogue.add_agents(4)
        contract = await probe_catalogue(poor)
        assert contract.problems == []
        assert set(contract.absent_columns) == {f"agents.{name}" for name in absent} | {
            "mcp_tools.is_builtin",
            "mcp_tools.auth_required",
        }
        watched = RecordingPool(poor)
        pages = [page async for page in agent_pages(watched, ALL, [], size=3)]
        assert sum(map(len, pages)) == 5
        assert len(watched.statements) == 5  # the refused one, two of the probe, two pages
        assert (await fetch_active_agent_by_id(poor, agent_id)).mcp_tools[0].tool_name == "x"


def wrong_type(wanted: str) -> str:
    return "boolean" if wanted != "boolean" else "text"


@pytest.fixture(scope="module")
async def typed_catalogue(postgres):
    async with catalogue_database(postgres) as pool:
        for table in REQUIRED:
            await pool.execute(f"alter table public.{table} add column if not exists updated_at timestamptz")
        yield pool


@pytest.mark.parametrize("column", TYPES_OF_TABLES)
async def test_a_column_of_another_type_is_named_and_nothing_is_read(typed_catalogue, column):
    table, name = column.split(".")
    wrong = wrong_type(TYPES_OF_TABLES[column])
    async with typed_catalogue.acquire() as connection:
        before = await probe_catalogue(connection)
        assert before.problems == []
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            f"alter table public.{table} drop constraint if exists {table}_pkey, alter {name} drop default,"
            f" alter {name} type {wrong} using null"
        )
        contract = await probe_catalogue(connection)
        assert contract.problems == [f"column public.{column} is of type {wrong}, not {TYPES_OF_TABLES[column]}"]
        with pytest.raises(CatalogueUnavailable, match=f"public.{table}.{name} is of type {wrong}"):
            contract.ensure_usable()
        await transaction.rollback()


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        ("agents.status", "account_status"),
        ("agents.name", "short_text"),
        ("agents.name", "character varying(40)"),
        ("agents.deleted_at", "timestamp"),
        ("agents.deleted_at", "date"),
        ("agents.engine_id", "bigint"),
        ("agents.sampling_params", "json"),
        ("agents.assistant_tool_ids", "text[]"),
        ("agents.organization_id", "tenant_id"),
        ("agents.is_global", "flag"),
    ],
)
async def test_types_that_read_the_same_are_accepted(typed_catalogue, column, type_):
    table, name = column.split(".")
    async with typed_catalogue.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            """create type account_status as enum ('active', 'off'); create domain text_of_ours as text;
            create domain short_text as text_of_ours; create domain key_of_ours as uuid;
            create domain tenant_id as key_of_ours; create domain flag as boolean"""
        )
        await connection.execute(f"alter table public.{table} alter {name} type {type_} using null")
        assert (await probe_catalogue(connection)).problems == []
        await transaction.rollback()


@pytest.mark.parametrize(
    "change", ["alter deleted_at type boolean using false", "alter status type boolean using true"]
)
async def test_a_decisive_column_of_another_type_retires_nobody(postgres, system_pool, change):
    async with catalogue_database(postgres) as pool:
        await CatalogueEditor(pool).add_agents(3)
        store = PostgresSyncStore(system_pool)
        assert (await startup_agent_sync(pool, store, scope=ALL, owner_id="system"))["created"] == 3
        await pool.execute(f"alter table public.agents {change}")
        with pytest.raises(CatalogueUnavailable, match="is of type boolean"):
            await startup_agent_sync(pool, store, scope=ALL, owner_id="system")
        with pytest.raises(CatalogueUnavailable, match="is of type boolean"):
            await retire_absent_agents(pool, store, ALL)


async def test_a_table_that_may_not_be_read_is_named(real_pool, agent_sync_dsn):
    async with asyncpg.create_pool(
        agent_sync_dsn, min_size=1, max_size=1, server_settings={"role": "agenthall_app"}
    ) as strange:
        with pytest.raises(CatalogueUnavailable, match=r"no SELECT on column public\.agents\.id"):
            await fetch_active_agents(strange, ALL)


async def test_an_engine_id_kept_as_text_finds_its_engine(postgres):
    async with catalogue_database(postgres, sql="alter table public.agents alter engine_id type text") as drifted:
        catalogue = CatalogueEditor(drifted)
        engine_id = await catalogue.add_engine("offline:demo")
        agent_id = await catalogue.add_agent(engine_id=str(engine_id))
        assert (await fetch_active_agent_by_id(drifted, agent_id)).runtime_model_name == "offline:demo"


async def test_a_catalogue_that_cannot_be_reached_is_unavailable(agent_sync_dsn):
    closed = await asyncpg.create_pool(agent_sync_dsn, min_size=1, max_size=1)
    await closed.close()
    with pytest.raises(CatalogueUnavailable, match="does not answer"):
        await fetch_active_agents(closed, ALL)
    with pytest.raises(CatalogueUnavailable):
        await probe_catalogue(closed)
