"""Fill a catalogue of any size.

Each agent has a prompt of about a kilobyte, two tools and one of ten engines. An organization has fifty agents.
"""

from __future__ import annotations

import asyncpg

TABLES = """
create table public.ai_models (id uuid primary key, runtime_model_name text);
create table public.global_ai_engines (id uuid primary key, language_model_id uuid);
create table public.mcp_tools (id uuid primary key, endpoint_url text, tool_name text, is_builtin boolean, auth_required boolean);
create table public.agents (
  id uuid primary key, organization_id uuid, name text, description text, is_global boolean, system_prompt text,
  sampling_params jsonb, assistant_tool_ids uuid[], langgraph_assistant_id text, graph_id text, engine_id uuid,
  engine_type text, status text, deleted_at timestamptz, created_at timestamptz default now(), updated_at timestamptz default now());
create table public.agent_mcp_tools (agent_id uuid, mcp_tool_id uuid, primary key (agent_id, mcp_tool_id));
insert into public.ai_models select md5('model' || n)::uuid, 'openai:model-' || n from generate_series(0, 9) n;
insert into public.global_ai_engines select md5('engine' || n)::uuid, md5('model' || n)::uuid from generate_series(0, 9) n;
insert into public.mcp_tools
select md5('tool' || n)::uuid, 'https://mcp-' || n % 20 || '.example.com/mcp', 'tool_' || n, false, n % 5 = 0
  from generate_series(0, 99) n;
"""
_AGENTS = """
insert into public.agents (id, organization_id, name, description, system_prompt, sampling_params, graph_id, engine_id, status)
select md5('agent' || n)::uuid, md5('organization' || n / 50)::uuid, 'Agent ' || n, 'The agent of number ' || n,
       'You are agent ' || n || '. ' || repeat(md5(n::text) || ' ', 30), '{"temperature": 0.2, "max_tokens": 1000}', 'agent',
       md5('engine' || n % 10)::uuid, 'active'
  from generate_series(1, $1::int) n
"""
_TOOLS = """
insert into public.agent_mcp_tools
select md5('agent' || n)::uuid, md5('tool' || (n + k * 7) % 100)::uuid from generate_series(1, $1::int) n, generate_series(0, 1) k
"""
CLEAR_SYNC = """
truncate agenthall.agent_sync, agenthall.assistants cascade;
update public.agents set langgraph_assistant_id = null where langgraph_assistant_id is not null;
vacuum full public.agents;
analyze;
"""


async def fill_catalogue(dsn: str, agents: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(TABLES)
        await connection.execute(_AGENTS, agents)
        await connection.execute(_TOOLS, agents)
        await connection.execute("analyze")
    finally:
        await connection.close()


async def clear_sync(dsn: str) -> None:
    """Remove everything that a sync wrote."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in CLEAR_SYNC.strip().split("\n"):
            await connection.execute(statement)
    finally:
        await connection.close()
