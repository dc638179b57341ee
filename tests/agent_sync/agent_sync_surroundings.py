"""What the tests of agent sync inject: a storage in memory with the protocol's three methods, a pool that is watched, rows."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from databases import fresh_database

from robyn_server.agent_sync import AgentSyncScope, CatalogueSource, startup_agent_sync
from robyn_server.core.catalogue import CATALOGUE_KEYS
from robyn_server.core.errors import Conflict

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
CLEAR = """
truncate public.agents, public.agent_mcp_tools, public.mcp_tools, public.global_ai_engines, public.ai_models;
truncate agenthall.agent_sync, agenthall.assistants cascade;
"""
VIEW = CatalogueSource("app.agenthall_agents")
ALL = AgentSyncScope("all")
FORMS = {"tables": CatalogueSource(), "view": VIEW}


@asynccontextmanager
async def catalogue_database(postgres: str, *, assistant_id: str = "text", sql: str = ""):
    """A pool on a database with the catalogue's tables, changed by `sql`."""
    async with fresh_database(postgres) as dsn, asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        await pool.execute(TABLES.format(assistant_id=assistant_id) + sql)
        yield pool


class MemoryAssistants:
    """As the protocol says: rows of `system` are found by everybody, an update keeps what the catalogue does not own."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []

    async def get(self, assistant_id: str, owner_id: str) -> dict[str, Any] | None:
        await asyncio.sleep(0)  # a storage answers later: others get their turn
        row = self.rows.get(assistant_id)
        return copy.deepcopy(row) if row is not None and row["owner_id"] in {"system", owner_id} else None

    async def create(self, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        if payload["assistant_id"] in self.rows:
            raise Conflict("taken")
        self.rows[payload["assistant_id"]] = {**copy.deepcopy(dict(payload)), "owner_id": owner_id, "version": 1}
        self.writes.append(("create", payload["assistant_id"]))
        return dict(payload)

    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        row = self.rows[assistant_id]
        configurable = {k: v for k, v in row["config"].get("configurable", {}).items() if k not in CATALOGUE_KEYS}
        config = {**row["config"], "configurable": configurable | payload["config"]["configurable"]}
        metadata = {k: v for k, v in row["metadata"].items() if k != "supabase_organization_id"}
        row |= {**payload, "config": config, "metadata": metadata | payload["metadata"], "version": row["version"] + 1}
        self.writes.append(("update", assistant_id))
        return dict(payload)


class MemoryStorage:
    def __init__(self) -> None:
        self.assistants = MemoryAssistants()


class WatchedPool:
    """Passes on to a real pool, and remembers every statement. `refuse`: what to raise instead; `gate`: what reads wait for."""

    def __init__(self, pool: Any, source: CatalogueSource | None = None) -> None:
        self.pool = pool
        self.source = source or CatalogueSource()
        self.statements: list[str] = []
        self.refuse: dict[str, Exception] = {}
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()

    async def _pass(self, method: str, query: str, args: tuple[Any, ...]) -> Any:
        self.statements.append(query)
        self.arrived.set()
        if self.gate is not None and method != "execute":
            await self.gate.wait()
        for part, error in self.refuse.items():
            if part in query:
                raise error
        return await getattr(self.pool, method)(query, *args)

    async def fetch(self, query: str, *args: Any) -> Any:
        return await self._pass("fetch", query, args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await self._pass("fetchrow", query, args)

    async def execute(self, query: str, *args: Any) -> Any:
        return await self._pass("execute", query, args)


class Catalogue:
    """Writes the catalogue as its product would."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def agent(self, **columns: Any) -> UUID:
        """Adds an agent; what is not given is as it usually is."""
        row = {"id": uuid4(), "organization_id": uuid4(), "name": "Ada", "status": "active", **columns}
        if not isinstance(row.get("sampling_params"), str | None):
            row["sampling_params"] = json.dumps(row["sampling_params"])
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await self.pool.execute(f"insert into public.agents ({', '.join(row)}) values ({places})", *row.values())
        return row["id"]

    async def agents(self, count: int) -> None:
        await self.pool.execute(
            "insert into public.agents (id, organization_id, name, status)"
            " select gen_random_uuid(), gen_random_uuid(), 'agent ' || n, 'active' from generate_series(1, $1::int) n",
            count,
        )

    async def change(self, agent_id: UUID, **columns: Any) -> None:
        for column, value in columns.items():
            await self.pool.execute(f"update public.agents set {column} = $2 where id = $1", agent_id, value)

    async def tool(
        self, agent_id: UUID, url: str | None, name: str | None, *, auth_required: bool | None = None
    ) -> UUID:
        tool_id = uuid4()
        await self.pool.execute(
            "insert into public.mcp_tools values ($1, $2, $3, false, $4)", tool_id, url, name, auth_required
        )
        await self.pool.execute("insert into public.agent_mcp_tools values ($1, $2)", agent_id, tool_id)
        return tool_id

    async def engine(self, model: str | None) -> UUID:
        engine_id, model_id = uuid4(), uuid4()
        await self.pool.execute("insert into public.ai_models values ($1, $2)", model_id, model)
        await self.pool.execute("insert into public.global_ai_engines values ($1, $2)", engine_id, model_id)
        return engine_id

    async def written_back(self, agent_id: UUID) -> str | None:
        query = "select langgraph_assistant_id::text from public.agents where id = $1"
        return await self.pool.fetchval(query, agent_id)


async def startup(pool: Any, storage: Any, **options: Any) -> dict[str, int]:
    """A pass over all agents, as a server makes it when it starts."""
    return await startup_agent_sync(pool, storage, scope=ALL, owner_id="system", **options)


async def stored(storage: Any, agent_id: UUID) -> dict[str, Any]:
    """The agent's assistant as storage has it."""
    row = await storage.assistants.get(str(agent_id), "system")
    assert row is not None
    return row


async def count_of_writes(storage: Any, real_pool: Any) -> int:
    """Assistants written so far: every write of Postgres is a version."""
    if isinstance(storage, MemoryStorage):
        return len(storage.assistants.writes)
    return await real_pool.fetchval("select count(*) from agenthall.assistant_versions")
