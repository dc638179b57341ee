"""The catalogue as a view of the product's own: what is wrong with it is named, and it heals; what an operator installs
suffices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.catalogue_tables import VIEW, CatalogueEditor, catalogue_database
from catalogues.sync_storage import MemoryStorage, RecordingPool, get_assistant

from robyn_server.agent_sync import (
    AgentRejected,
    AgentSyncOptions,
    AgentSyncScope,
    CatalogueSource,
    catalogue_grants_sql,
    catalogue_view_sql,
    fetch_active_agent_by_id,
    fetch_active_agents,
    lazy_sync_agent,
    parse_catalogue_source,
    probe_catalogue,
    startup_agent_sync,
)
from robyn_server.agent_sync.catalogue_db.contract import OPTIONAL_OF_VIEW
from robyn_server.core.errors import CatalogueUnavailable

ALL = AgentSyncScope("all")
BOTS = CatalogueSource("shop.agenthall", "shop.bots", "assistant")
SHOP = """
create schema shop;
create table shop.bots (id uuid primary key, company uuid, title text, prompt text, model text, enabled boolean, assistant text);
create view shop.agenthall as
select b.id as agent_id, b.company as organization_id, b.title as name, b.prompt as system_prompt, b.model as runtime_model_name,
       b.assistant as langgraph_assistant_id,
       '[{"tool_id": 1, "tool_name": "search", "endpoint_url": "http://tools"}]'::jsonb as mcp_tools
  from shop.bots b where b.enabled;
"""


@asynccontextmanager
async def shop(postgres: str, sql: str = "") -> AsyncIterator[Any]:
    """A product whose tables have other names altogether."""
    async with catalogue_database(postgres, sql=SHOP + sql) as pool:
        yield pool


async def add_bot(pool: Any, **columns: Any) -> UUID:
    row = {"id": uuid4(), "company": uuid4(), "title": "Bot", "enabled": True, **columns}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await pool.execute(f"insert into shop.bots ({', '.join(row)}) values ({places})", *row.values())
    return UUID(str(row["id"]))


async def test_one_view_maps_a_product_with_other_tables_and_is_written_back_to_its_own_column(postgres: str) -> None:
    async with shop(postgres) as pool:
        bot = await add_bot(pool, prompt="Sell.", model="offline:demo")
        await add_bot(pool, enabled=False)
        contract = await probe_catalogue(pool, BOTS)
        assert (contract.problems, contract.can_write_back) == ([], True)
        assert set(contract.absent_columns) == set(OPTIONAL_OF_VIEW) - {"langgraph_assistant_id"}
        storage = MemoryStorage()
        counters = await startup_agent_sync(
            pool, storage, scope=ALL, owner_id="system", options=AgentSyncOptions(source=BOTS)
        )
        assert counters["created"] == counters["total"] == 1
        configurable = (await get_assistant(storage, bot))["config"]["configurable"]
        assert (configurable["system_prompt"], configurable["model_name"]) == ("Sell.", "offline:demo")
        assert configurable["mcp_config"]["servers"][0]["url"] == "http://tools"
        assert await pool.fetchval("select assistant from shop.bots where id = $1", bot) == str(bot)


async def test_a_view_that_is_not_there_is_named_and_is_no_server_without_a_catalogue(postgres: str) -> None:
    async with catalogue_database(postgres) as pool:
        contract = await probe_catalogue(pool, VIEW)
        assert (contract.problems, contract.is_absent) == (["view app.agenthall_agents is missing"], False)
        with pytest.raises(CatalogueUnavailable, match=r"view app\.agenthall_agents is missing"):
            await fetch_active_agents(pool, ALL, source=VIEW)


async def test_every_missing_and_every_mistyped_column_is_named_and_a_view_that_was_mended_is_read(
    postgres: str,
) -> None:
    broken = """drop view shop.agenthall; create view shop.agenthall as
        select b.id::text as agent_id, b.title as name, b.company as organization_id, b.model as runtime_model_name,
               'x' as mcp_tools, 1 as is_global from shop.bots b"""
    async with shop(postgres, broken) as pool:
        assert (await probe_catalogue(pool, BOTS)).problems == [
            "column shop.agenthall.system_prompt is missing",
            "column shop.agenthall.agent_id is of type text, not uuid",
            "column shop.agenthall.is_global is of type integer, not boolean",
            "column shop.agenthall.mcp_tools is of type text, not jsonb",
        ]
        with pytest.raises(CatalogueUnavailable, match=r"system_prompt is missing"):
            await fetch_active_agents(pool, ALL, source=BOTS)
        mended = SHOP[SHOP.index("create view") :]
        await pool.execute(f"drop view shop.agenthall; {mended}")
        await add_bot(pool)
        assert len(await fetch_active_agents(pool, ALL, source=BOTS)) == 1


async def test_what_a_probe_found_absent_is_not_asked_for_at_every_reading_and_is_read_once_it_is_there(
    postgres: str,
) -> None:
    async with shop(postgres) as pool:
        bot, watched = await add_bot(pool), RecordingPool(pool)
        await probe_catalogue(watched, BOTS)
        watched.statements.clear()
        agent = await fetch_active_agent_by_id(watched, bot, source=BOTS)
        assert (agent is not None and agent.description, len(watched.statements)) == (None, 1)
        mended = SHOP[SHOP.index("create view") :].replace(
            "from shop.bots b", ", 'new' as description from shop.bots b"
        )
        await pool.execute(f"drop view shop.agenthall; {mended}")
        await probe_catalogue(watched, BOTS)
        agent = await fetch_active_agent_by_id(watched, bot, source=BOTS)
        assert agent is not None
        assert agent.description == "new"


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ("false as engine_found, 'private' as engine_type", "shop.agenthall.engine_type"),
        ("false as engine_found", "shop.agenthall.engine_found"),
        ("'private' as engine_type", "shop.agenthall.engine_type"),
        ("true as engine_found", "shop.agenthall.runtime_model_name"),
    ],
)
async def test_an_engine_that_the_view_could_not_resolve_is_that_agents_failure(
    postgres: str, columns: str, field: str
) -> None:
    sql = SHOP.replace("from shop.bots b where", f", {columns} from shop.bots b where")
    async with catalogue_database(postgres, sql=sql) as pool:
        with pytest.raises(AgentRejected) as refused:
            await fetch_active_agent_by_id(pool, await add_bot(pool), source=BOTS)
        assert refused.value.field == field
        assert "ai_models" not in refused.value.detail and "global_ai_engines" not in refused.value.detail


async def test_a_pass_names_the_columns_of_the_view(postgres: str) -> None:
    sql = SHOP.replace(
        "from shop.bots b where",
        ", b.prompt as graph_id, jsonb_build_object('seed', b.assistant) as sampling_params from shop.bots b where",
    ).replace("b.prompt as system_prompt", "null::text as system_prompt")
    async with catalogue_database(postgres, sql=sql) as pool:
        nameless, elsewhere = await add_bot(pool, title=""), await add_bot(pool, prompt="unknown graph")
        random = await add_bot(pool, assistant="seven")
        storage, rejected = MemoryStorage(), []
        options = AgentSyncOptions(source=BOTS)
        await fetch_active_agents(pool, ALL, failures=rejected, source=BOTS)
        assert [(each.agent_id, each.field) for each in rejected] == [(nameless, "shop.agenthall.name")]
        for agent_id, column in ((elsewhere, "graph_id"), (random, "sampling_params.seed")):
            with pytest.raises(AgentRejected) as refused:
                await lazy_sync_agent(
                    pool, storage, agent_id=agent_id, owner_id="system", graphs=["agent"], options=options
                )
            assert refused.value.field == f"shop.agenthall.{column}"


async def test_a_private_engine_that_the_view_resolved_is_served(postgres: str) -> None:
    sql = SHOP.replace(
        "from shop.bots b where", ", true as engine_found, 'private' as engine_type from shop.bots b where"
    )
    async with catalogue_database(postgres, sql=sql) as pool:
        bot = await add_bot(pool, model="offline:demo")
        agent = await fetch_active_agent_by_id(pool, bot, source=BOTS)
        assert agent is not None
        assert agent.runtime_model_name == "offline:demo"


async def test_tools_that_are_no_list_are_one_failure(postgres: str) -> None:
    sql = SHOP.replace('[{"tool_id": 1, "tool_name": "search", "endpoint_url": "http://tools"}]', '{"no": "list"}')
    async with catalogue_database(postgres, sql=sql) as pool:
        with pytest.raises(AgentRejected, match=r" shop\.agenthall\.mcp_tools: not an array of objects"):
            await fetch_active_agent_by_id(pool, await add_bot(pool), source=BOTS)


async def test_a_view_that_gives_an_agent_twice_is_refused(postgres: str, system_pool: asyncpg.Pool) -> None:
    from robyn_server.agent_sync.catalogue_db.fingerprints import FingerprintedCatalogue

    sql = SHOP.replace("from shop.bots b where", "from shop.bots b, generate_series(1, 2) where")
    async with catalogue_database(postgres, sql=sql) as pool:
        bot = await add_bot(pool)
        with pytest.raises(CatalogueUnavailable, match=f"agent {bot} more than once"):
            _ = [page async for page in FingerprintedCatalogue(pool, ALL, "m", BOTS).pages(10)]


@pytest.mark.parametrize("view", [True, False])
async def test_the_printed_grants_are_all_that_a_sync_needs(postgres: str, view: bool) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    source = CatalogueSource("agenthall_catalogue.agents") if view else CatalogueSource()
    make = catalogue_view_sql if view else catalogue_grants_sql
    async with catalogue_database(postgres) as pool:
        agent_id = await CatalogueEditor(pool).add_agent(
            engine_id=await CatalogueEditor(pool).add_engine("offline:demo")
        )
        script = make(source, write_back=True, role=role)
        await pool.execute(script)
        await pool.execute(script)  # again, as an upgrade would
        try:
            database = urlsplit(postgres)._replace(path="/" + await pool.fetchval("select current_database()")).geturl()
            async with asyncpg.create_pool(database, min_size=1, max_size=2, server_settings={"role": role}) as small:
                contract = await probe_catalogue(small, source)
                assert (contract.problems, contract.absent_columns, contract.can_write_back) == ([], (), True)
                options = AgentSyncOptions(source=source)
                counters = await startup_agent_sync(
                    small, MemoryStorage(), scope=ALL, owner_id="system", options=options
                )
                assert counters["created"] == 1
                assert await CatalogueEditor(pool).written_back_id(agent_id) == str(agent_id)
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await small.execute("update public.agents set name = 'mine'")
                if view:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await small.execute("select system_prompt from public.agents")
        finally:
            await pool.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize(
    ("text", "view"),
    [("tables", None), ("", None), (" app.agents ", "app.agents"), ('"My App"."a b"', '"My App"."a b"')],
)
def test_a_source_is_the_tables_or_a_view_with_its_schema(text: str, view: str | None) -> None:
    assert parse_catalogue_source(text).view == view


@pytest.mark.parametrize("text", ["agents", "a.b.c", "a.b; drop table x", 'a."', "a.b a"])
def test_anything_else_is_refused_by_its_variable(text: str) -> None:
    with pytest.raises(ValueError, match="AGENT_SYNC_CATALOGUE"):
        parse_catalogue_source(text)
    with pytest.raises(ValueError, match="AGENT_SYNC_WRITE_BACK_TO"):
        parse_catalogue_source("tables", text.replace("a.b.c", "a.b"))
