"""The catalogue tables of a product, and a writer for them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg

TABLES = """
create table public.agents (id uuid primary key, organization_id uuid, name text, description text, is_global boolean default false,
  system_prompt text, sampling_params jsonb, assistant_tool_ids uuid[], langgraph_assistant_id text, graph_id text, engine_id uuid,
  engine_type text, status text default 'active', deleted_at timestamptz, created_at timestamptz default now(), updated_at timestamptz);
create table public.agent_mcp_tools (agent_id uuid, mcp_tool_id uuid);
create table public.mcp_tools (id uuid primary key, endpoint_url text, tool_name text, is_builtin boolean, auth_required boolean);
create table public.global_ai_engines (id uuid primary key, language_model_id uuid);
create table public.ai_models (id uuid primary key, runtime_model_name text);
"""


class CatalogueWriter:
    """Adds agents and tools to the catalogue while the server runs."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection

    async def add_agent(
        self, model: str = "offline:demo", tools: dict[str, list[str]] | None = None, **columns: Any
    ) -> str:
        """Add an agent and return its id. `tools`: names by endpoint URL."""
        agent_id, model_id, engine_id = uuid4(), uuid4(), uuid4()
        await self._connection.execute("insert into public.ai_models values ($1, $2)", model_id, model)
        await self._connection.execute("insert into public.global_ai_engines values ($1, $2)", engine_id, model_id)
        given = {"name": "Tester", "engine_id": engine_id, "system_prompt": "You test.", **columns}
        names, placeholders = ", ".join(given), ", ".join(f"${at + 2}" for at in range(len(given)))
        await self._connection.execute(
            f"insert into public.agents (id, {names}) values ($1, {placeholders})", agent_id, *given.values()
        )
        for url, offered in (tools or {}).items():
            for name in offered:
                await self.add_tool(agent_id, url, name)
        return str(agent_id)

    async def set_agent_tools(self, agent_id: str, called: list[str]) -> None:
        """Let an agent call others."""
        await self._connection.execute(
            "update public.agents set assistant_tool_ids = $2, updated_at = now() where id = $1", agent_id, called
        )

    async def add_tool(self, agent_id: UUID, url: str, name: str, *, auth_required: bool = False) -> None:
        tool_id = uuid4()
        await self._connection.execute(
            "insert into public.mcp_tools values ($1, $2, $3, false, $4)", tool_id, url, name, auth_required
        )
        await self._connection.execute("insert into public.agent_mcp_tools values ($1, $2)", agent_id, tool_id)
