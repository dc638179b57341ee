"""A product's own tables become the catalogue: what is guessed, what has to be said, and that the SQL does what it
says."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest
from databases import fresh_database
from deadlines import DEADLINE
from doc_pages import DOCS, blocks

from robyn_server.agent_sync import (
    AgentSyncData,
    AgentSyncScope,
    fetch_active_agents,
    is_feed_installed,
    parse_catalogue_source,
    probe_catalogue,
)
from robyn_server.agent_sync.table_mapping import (
    MappingOptions,
    TableMapping,
    check_mapping,
    map_tables,
    mapping_sql,
    read_schema,
    settings_of,
)
from robyn_server.core.errors import Misconfigured

Connection: TypeAlias = "asyncpg.Connection[Any]"
CRM = blocks(DOCS / "tutorials" / "own-tables.md", "sql")[0]
TEAM = UUID(int=7)

SIMPLE = """
create table public.bots (
  id uuid primary key default gen_random_uuid(), team_id uuid, name text not null, prompt text, model text,
  is_live boolean not null default true, updated_at timestamptz not null default now()
);
insert into public.bots (id, team_id, name, prompt, model) values
  ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000007', 'Ada', 'Be kind.', 'offline:demo');
"""
ODD = """
create schema "My App";
create table "My App"."Agents (v2)" (
  "Agent Id" uuid primary key, tenant_id uuid, "Title!" text, "select" text, "Don't" boolean not null default false
);
insert into "My App"."Agents (v2)" values
  ('00000000-0000-0000-0000-000000000001', null, 'Odd', 'Be odd.', false),
  ('00000000-0000-0000-0000-000000000002', null, 'Off', null, true);
"""


@asynccontextmanager
async def product_database(postgres: str, tables: str) -> AsyncIterator[tuple[Connection, MappingOptions]]:
    """A product's database, and options that name a role of its own: roles belong to the whole PostgreSQL."""
    role = f"reader_{secrets.token_hex(4)}"
    async with fresh_database(postgres) as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(tables)
            yield connection, MappingOptions(role=role)
        finally:
            if await connection.fetchval("select true from pg_roles where rolname = $1", role):
                await connection.execute(f"drop owned by {role}; drop role {role}")
            await connection.close()


async def mapped(connection: Connection, options: MappingOptions) -> TableMapping:
    return map_tables(await read_schema(connection), options)


async def served(connection: Connection, mapping: TableMapping) -> list[AgentSyncData]:
    """Apply the SQL, and read the agents as the server does, with the rights of the role that it makes."""
    await connection.execute(mapping_sql(mapping))
    source = parse_catalogue_source(settings_of(mapping)["AGENT_SYNC_CATALOGUE"])
    await connection.execute(f"set role {mapping.role}")
    try:
        assert (await probe_catalogue(connection, source)).problems == []
        return sorted(
            await fetch_active_agents(connection, AgentSyncScope("all"), source=source), key=lambda each: each.name
        )
    finally:
        await connection.execute("reset role")


async def test_a_schema_with_numbers_as_ids_and_everything_elsewhere_is_mapped_without_options(postgres: str) -> None:
    async with product_database(postgres, CRM) as (connection, options):
        mapping = await mapped(connection, options)
        closer, helper = await served(connection, mapping)
        assert (closer.name, closer.system_prompt) == ("Closer", "You close deals in one sentence.")
        assert closer.description == "Closes deals."
        assert closer.runtime_model_name == "offline:demo"
        assert closer.sampling_params == {"temperature": 0.2}
        assert [(tool.tool_name, tool.endpoint_url) for tool in closer.mcp_tools] == [
            ("find_customer", "http://127.0.0.1:2999/mcp")
        ]
        assert (helper.name, list(helper.mcp_tools), helper.sampling_params) == ("Helper", [], {})
        assert closer.organization_id != helper.organization_id
        source = parse_catalogue_source(mapping.view)
        assert await is_feed_installed(connection, source)


EDITS = {
    "the agent": ("update crm.copilots set about = 'new' where title = 'Closer'", ["Closer"]),
    "a new agent": ("insert into crm.copilots (workspace_id, title) values (1, 'Newcomer')", ["Newcomer"]),
    "its end": ("delete from crm.copilots where title = 'Helper'", ["Helper"]),
    "a model of both": ("update crm.llms set model_name = 'other'", ["Closer", "Helper"]),
    "another model": ("insert into crm.llms (provider, model_name) values ('offline', 'two')", []),
    "a link": ("insert into crm.copilot_tools values (2, 1)", ["Helper"]),
    "no link": ("delete from crm.copilot_tools", ["Closer"]),
    "a moved link": ("update crm.copilot_tools set copilot_id = 2", ["Closer", "Helper"]),
    "a tool": ("update crm.server_tools set tool_name = 'search'", ["Closer"]),
    "a server": ("update crm.mcp_servers set url = 'http://127.0.0.1:3000/mcp'", ["Closer"]),
    "all of them": ("truncate crm.copilots cascade", ["*"]),
}


@pytest.mark.parametrize(("edit", "expected"), EDITS.values(), ids=EDITS)
async def test_an_edit_of_any_table_behind_an_agent_is_announced_with_its_id(
    postgres: str, edit: str, expected: list[str]
) -> None:
    async with product_database(postgres, CRM) as (connection, options):
        await connection.execute(mapping_sql(await mapped(connection, options)))
        names = await _names(connection)
        heard = asyncio.Queue[str]()
        await connection.add_listener("agenthall_catalogue", lambda *arguments: heard.put_nowait(arguments[-1]))
        await connection.execute(edit)
        names |= await _names(connection) | {"*": "*"}
        await connection.execute("notify agenthall_catalogue, 'end'")
        announced = set[str]()
        async with asyncio.timeout(DEADLINE):
            while (payload := await heard.get()) != "end":
                announced |= {names[each] for each in payload.split(",")}
        assert sorted(announced) == expected


async def _names(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("select md5('crm.copilots/' || id::text)::uuid::text as id, title from crm.copilots")
    return {row["id"]: row["title"] for row in rows}


async def test_the_pages_of_a_large_table_are_read_by_an_index(postgres: str) -> None:
    async with product_database(postgres, CRM) as (connection, options):
        await connection.execute(mapping_sql(await mapped(connection, options)))
        await connection.execute(
            "insert into crm.copilots (workspace_id, title) select 1, n::text from generate_series(1, 20000) n; analyze"
        )
        page = "select * from agenthall_catalogue.agents where agent_id > $1 order by agent_id limit 10"
        plan = await connection.fetch(f"explain (analyze, buffers) {page}", UUID(int=0))
        text = "\n".join(row[0] for row in plan)
        assert "agenthall_agent_id" in text
        assert "Seq Scan on copilots" not in text


async def test_names_that_need_quotes_are_quoted_everywhere(postgres: str) -> None:
    async with product_database(postgres, ODD) as (connection, options):
        chosen = replace(
            options,
            table="My App.Agents (v2)",
            columns={"name": "Title!", "system_prompt": "select"},
            active=["!Don't"],
        )
        (agent,) = await served(connection, await mapped(connection, chosen))
        assert (agent.name, agent.system_prompt, agent.organization_id) == ("Odd", "Be odd.", None)
        await connection.execute("""update "My App"."Agents (v2)" set "Title!" = 'New' """)


async def test_a_key_that_is_a_uuid_is_the_agents_id_and_an_edit_of_nothing_is_none(postgres: str) -> None:
    """The server itself writes one column, and products touch `updated_at`: neither is an edit."""
    tables = SIMPLE + "alter table public.bots add langgraph_assistant_id text;"
    async with product_database(postgres, tables) as (connection, options):
        mapping = await mapped(connection, options)
        (agent,) = await served(connection, mapping)
        assert (agent.agent_id, agent.organization_id) == (UUID(int=1), TEAM)
        assert settings_of(mapping)["AGENT_SYNC_WRITE_BACK_TO"] == "public.bots.langgraph_assistant_id"
        heard = asyncio.Queue[str]()
        await connection.add_listener("agenthall_catalogue", lambda *arguments: heard.put_nowait(arguments[-1]))
        await connection.execute("update public.bots set langgraph_assistant_id = id::text, updated_at = now()")
        await connection.execute("notify agenthall_catalogue, 'end'")
        async with asyncio.timeout(DEADLINE):
            assert await heard.get() == "end"


PARENTS = (
    SIMPLE
    + """
alter table public.bots add parent_id uuid references public.bots;
insert into public.bots (id, team_id, name, parent_id)
values ('00000000-0000-0000-0000-000000000002', null, 'Child', '00000000-0000-0000-0000-000000000001');
"""
)


async def test_an_agent_that_has_a_part_of_another_is_announced_with_it(postgres: str) -> None:
    async with product_database(postgres, PARENTS) as (connection, options):
        chosen = replace(options, columns={"system_prompt": "parent_id.prompt"})
        agents = await served(connection, await mapped(connection, chosen))
        assert [(agent.name, agent.system_prompt) for agent in agents] == [("Ada", None), ("Child", "Be kind.")]
        heard = asyncio.Queue[str]()
        await connection.add_listener("agenthall_catalogue", lambda *arguments: heard.put_nowait(arguments[-1]))
        await connection.execute("update public.bots set prompt = 'Be brief.' where name = 'Ada'")
        async with asyncio.timeout(DEADLINE):
            assert sorted((await heard.get()).split(",")) == [str(UUID(int=1)), str(UUID(int=2))]


async def test_applying_another_mapping_replaces_the_one_before(postgres: str) -> None:
    async with product_database(postgres, CRM + SIMPLE) as (connection, options):
        await served(connection, await mapped(connection, replace(options, table="crm.copilots")))
        (agent,) = await served(connection, await mapped(connection, replace(options, table="bots")))
        assert agent.name == "Ada"
        triggers = """select distinct t.tgrelid::regclass::text from pg_trigger t join pg_proc f on f.oid = t.tgfoid
                       where f.pronamespace = 'agenthall_catalogue'::regnamespace"""
        assert [row[0] for row in await connection.fetch(triggers)] == ["bots"]


async def test_a_view_of_the_products_can_be_mapped_and_has_no_triggers(postgres: str) -> None:
    tables = SIMPLE + "create view public.live_bots as select * from public.bots where is_live;"
    async with product_database(postgres, tables) as (connection, options):
        chosen = replace(options, table="live_bots", columns={"agent_id": "id"})
        mapping = await mapped(connection, chosen)
        assert [agent.name for agent in await served(connection, mapping)] == ["Ada"]
        assert not await is_feed_installed(connection, parse_catalogue_source(mapping.view))


SERVERS = """
create table public.agents (id uuid primary key, organization_id uuid, name text, instructions text, model_name text);
create table public.agent_servers (
  agent_id uuid references public.agents, server_name text not null, url text not null, requires_auth boolean);
insert into public.agents values ('00000000-0000-0000-0000-000000000001', null, 'Ada', null, null);
insert into public.agent_servers values ('00000000-0000-0000-0000-000000000001', 'maths', 'http://127.0.0.1:1/mcp', true);
"""


async def test_rows_that_name_servers_give_their_agents_all_tools_of_each(postgres: str) -> None:
    async with product_database(postgres, SERVERS) as (connection, options):
        mapping = await mapped(connection, options)
        (agent,) = await served(connection, mapping)
        assert settings_of(mapping)["AGENT_SYNC_TOOL_NAMES"] == "servers"
        assert [(tool.tool_name, tool.auth_required) for tool in agent.mcp_tools] == [("maths", True)]


async def test_expressions_and_one_organization_for_all(postgres: str) -> None:
    async with product_database(postgres, SIMPLE) as (connection, options):
        chosen = replace(options, organization=UUID(int=9), expressions={"name": "upper(a.name)"}, tools="none")
        (agent,) = await served(connection, await mapped(connection, chosen))
        assert (agent.name, agent.organization_id) == ("ADA", UUID(int=9))


STATES = SIMPLE.replace("is_live boolean not null default true", "status text not null default 'live'")


async def test_the_moment_of_an_edit_is_that_of_any_row_on_the_way(postgres: str) -> None:
    """Of the engine between an agent and its model, too."""
    tables = (
        SIMPLE.replace("model text,", "engine_id integer,").replace(", model)", ")").replace(", 'offline:demo'", "")
        + """
    create table public.models (id integer primary key, model_name text, updated_at timestamptz);
    create table public.engines (id integer primary key, model_id integer references public.models, updated_at timestamptz);
    insert into public.models values (1, 'offline:demo', '2001-01-01Z');
    insert into public.engines values (1, 1, '2100-01-01Z');
    alter table public.bots add foreign key (engine_id) references public.engines;
    update public.bots set engine_id = 1;
    """
    )
    async with product_database(postgres, tables) as (connection, options):
        mapping = await mapped(connection, options)
        assert mapping.origins["runtime_model_name"] == "engine_id.model_id.model_name"
        await served(connection, mapping)
        assert (await connection.fetchval("select updated_at from agenthall_catalogue.agents")).year == 2100


async def test_a_status_has_to_be_named(postgres: str) -> None:
    """Drafts must not be served by a guess."""
    async with product_database(postgres, STATES) as (connection, options):
        with pytest.raises(Misconfigured, match=r"status.*--active status=…"):
            await mapped(connection, options)
        for active, names in ((["status=live"], ["Ada"]), (["status!=live"], []), (["none"], ["Ada"])):
            mapping = await mapped(connection, replace(options, active=active))
            assert [agent.name for agent in await served(connection, mapping)] == names


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such table": ({"table": "nowhere"}, r"TABLE: there is no table 'nowhere'"),
    "no such contract column": ({"columns": {"label": "name"}}, r"--column: 'label' is none of agent_id"),
    "no such column": (
        {"columns": {"name": "header"}},
        r"--column name: public.bots has no column 'header'; it has id",
    ),
    "no such key": ({"columns": {"name": "owner.name"}}, r"--column name: public.bots has no foreign key 'owner'"),
    "no such member": ({"tool_columns": {"url": "url"}}, r"--tool: 'url' is none of tool_name"),
    "no table of tools": ({"tool_columns": {"tool_name": "x"}}, r"--tools: no table of tools"),
    "tools of nobody": ({"tools": "bots"}, r"--tools: public.bots has no foreign key to public.bots"),
    "no boolean": ({"active": ["name"]}, r"--active name: name is text, not boolean; name a value, name=…"),
    "no name": ({"columns": {"name": "none"}}, r"--column name: an agent has one"),
}


@pytest.mark.parametrize(("given", "reason"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_refused_by_the_option_that_says_it(
    postgres: str, given: dict[str, Any], reason: str
) -> None:
    async with product_database(postgres, SIMPLE) as (connection, options):
        with pytest.raises(Misconfigured, match=reason):
            await mapped(connection, replace(options, **given))


async def test_a_table_without_organizations_is_asked_about(postgres: str) -> None:
    async with product_database(postgres, SIMPLE.replace("team_id", "group_no")) as (connection, options):
        with pytest.raises(Misconfigured, match=r"organization_id.*--organization.*--column organization_id=none"):
            await mapped(connection, options)
        mapping = await mapped(connection, replace(options, columns={"organization_id": "none"}))
        assert (await served(connection, mapping))[0].organization_id is None


async def test_the_check_says_what_cannot_be_read_and_leaves_nothing_behind(postgres: str) -> None:
    tables = SIMPLE + "insert into public.bots (name, prompt) values ('', 'no name');"
    async with product_database(postgres, tables) as (connection, options):
        report = await check_mapping(connection, await mapped(connection, options))
        assert (report.problems, list(report.names), len(report.rejected)) == ((), ["Ada"], 1)
        assert "cannot be served: name: " in report.rejected[0]
        mistyped = await mapped(connection, replace(options, columns={"description": "is_live"}))
        report = await check_mapping(connection, mistyped)
        assert report.problems == ["column description is of type boolean, not text"]
        broken = await mapped(connection, replace(options, expressions={"name": "a.nothing"}))
        assert "nothing" in (await check_mapping(connection, broken)).problems[0]
        assert await connection.fetchval("select count(*) from pg_views where viewname = 'agenthall_mapping'") == 0
        assert await connection.fetchval("select to_regnamespace('agenthall_catalogue')") is None
