"""The tables of a product's catalogue, and an editor for them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from databases import fresh_database

from robyn_server.agent_sync import AgentSyncScope, CatalogueSource

TABLES = """
create table public.agents (
  id uuid primary key, organization_id uuid, name text, description text, is_global boolean, system_prompt text,
  sampling_params jsonb, assistant_tool_ids uuid[], langgraph_assistant_id {assistant_id}, graph_id text, engine_id uuid,
  engine_type text, status text, deleted_at timestamptz, created_at timestamptz default now(), updated_at timestamptz default now());
create table public.agent_mcp_tools (agent_id uuid, mcp_tool_id uuid);
create table public.mcp_tools (id uuid primary key, endpoint_url text, tool_name text, is_builtin boolean, auth_required boolean);
create table public.global_ai_engines (id uuid primary key, language_model_id uuid);
create table public.ai_models (id uuid primary key, runtime_model_name text);
"""
CLEAR_TABLES = """
truncate public.agents, public.agent_mcp_tools, public.mcp_tools, public.global_ai_engines, public.ai_models;
truncate agenthall.agent_sync, agenthall.assistants cascade;
"""
VIEW = CatalogueSource("app.agenthall_agents")
ALL = AgentSyncScope("all")
SOURCES = {"tables": CatalogueSource(), "view": VIEW}


@asynccontextmanager
async def catalogue_database(postgres: str, *, assistant_id: str = "text", sql: str = ""):
    """A pool on a database with the catalogue's tables, changed by `sql`."""
    async with fresh_database(postgres) as dsn, asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        await pool.execute(TABLES.format(assistant_id=assistant_id) + sql)
        yield pool


class CatalogueEditor:
    """Edits the catalogue as its product does."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def add_agent(self, **columns: Any) -> UUID:
        """Add an agent, with defaults for columns that are not given."""
        row = {"id": uuid4(), "organization_id": uuid4(), "name": "Ada", "status": "active", **columns}
        if not isinstance(row.get("sampling_params"), str | None):
            row["sampling_params"] = json.dumps(row["sampling_params"])
        placeholders = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await self.pool.execute(f"insert into public.agents ({', '.join(row)}) values ({placeholders})", *row.values())
        return row["id"]

    async def add_agents(self, count: int) -> None:
        await self.pool.execute(
            "insert into public.agents (id, organization_id, name, status)"
            " select gen_random_uuid(), gen_random_uuid(), 'agent ' || n, 'active' from generate_series(1, $1::int) n",
            count,
        )

    async def update_agent(self, agent_id: UUID, **columns: Any) -> None:
        for column, value in columns.items():
            await self.pool.execute(f"update public.agents set {column} = $2 where id = $1", agent_id, value)

    async def add_tool(
        self, agent_id: UUID, url: str | None, name: str | None, *, auth_required: bool | None = None
    ) -> UUID:
        tool_id = uuid4()
        await self.pool.execute(
            "insert into public.mcp_tools values ($1, $2, $3, false, $4)", tool_id, url, name, auth_required
        )
        await self.pool.execute("insert into public.agent_mcp_tools values ($1, $2)", agent_id, tool_id)
        return tool_id

    async def add_engine(self, model: str | None) -> UUID:
        engine_id, model_id = uuid4(), uuid4()
        await self.pool.execute("insert into public.ai_models values ($1, $2)", model_id, model)
        await self.pool.execute("insert into public.global_ai_engines values ($1, $2)", engine_id, model_id)
        return engine_id

    async def written_back_id(self, agent_id: UUID) -> str | None:
        query = "select langgraph_assistant_id::text from public.agents where id = $1"
        return await self.pool.fetchval(query, agent_id)
