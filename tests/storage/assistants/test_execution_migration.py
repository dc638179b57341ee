"""The migration that lets configurations run in instances gives those that there are an assistant."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import asyncpg
from databases import fresh_database

from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import migrate

MIGRATION = "configured_execution"
INSERT = "insert into mcp.agents (tenant_id, name, system_prompt, enabled) values ($1, $2, $3, $4)"


async def test_an_enabled_agent_without_a_model_and_a_prompt_gets_an_assistant(postgres: str, tmp_path: Path) -> None:
    for path in sorted(packaged("migrations").glob("*.sql")):
        if MIGRATION in path.name:
            break
        shutil.copy(path, tmp_path)
    tenant = uuid4()
    async with fresh_database(postgres) as dsn:
        await migrate(dsn, tmp_path)
        async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
            for agent in (("bare", None, True), ("off", None, False), ("prompted", "Answer.", True)):
                await pool.execute(INSERT, tenant, *agent)
            await migrate(dsn, packaged("migrations"))
            rows = await pool.fetch("select name, origin, organization_id from agenthall.assistants")
            assert [tuple(row) for row in rows] == [("bare", "instances", tenant)]
            shown = "select array_agg(name) from agenthall.configured_agents"
            assert await pool.fetchval(shown) == ["prompted"]
