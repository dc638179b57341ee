"""The guide to registering in SQL works as it stands: its example runs."""

from __future__ import annotations

import asyncpg
import pytest
from databases import fresh_database
from doc_pages import DOCS, blocks

from robyn_server.core.errors import Misconfigured
from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import migrate

EXAMPLE, _ = blocks(DOCS / "how-to" / "register-in-sql.md", "sql")


async def test_the_example_registers_reports_and_deregisters(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        found = [await connection.fetch(statement) for statement in EXAMPLE.split(";") if statement.strip()]
    finally:
        await connection.close()
    registered, reported, shown, ended = (rows[0] for rows in found)
    assert (registered["epoch"], registered["is_new"]) == (1, True)
    assert (reported["outcome"], ended["outcome"]) == ("ok", "ok")
    assert (shown["registration_status"], shown["health_status"], shown["workload"]) == ("active", "healthy", 1)


_OLD = """
create schema mcp;
create table mcp.agents (
  id uuid primary key, tenant_id uuid, name text, type text, status text, model_id text, capabilities text[],
  configuration jsonb, system_prompt text, temperature double precision, max_tokens integer, current_workload integer,
  max_workload integer, last_seen_at timestamptz, created_at timestamptz, updated_at timestamptz,
  unique (tenant_id, name));
insert into mcp.agents
select gen_random_uuid(), tenant.id, agent.name, 'bot', agent.status, 'openai:gpt-4o', '{code}', '{"a": 1}', 'Be kind.',
       0.5, 100, 3, 4, now(), '2025-01-01', '2025-02-02'
  from (values (uuid '00000000-0000-0000-0000-000000000001'), (uuid '00000000-0000-0000-0000-000000000002'))
         as tenant (id),
       (values ('Code Review', 'active'), ('Old Bot', 'offline')) as agent (name, status);
"""


async def test_the_guide_moves_the_agents_of_an_old_table_with_their_ids(postgres: str) -> None:
    move, copy, check = blocks(DOCS / "how-to" / "migrate-an-old-registry.md", "sql")
    async with fresh_database(postgres) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(_OLD)
        with pytest.raises(Misconfigured, match="migrate-an-old-registry"):
            await migrate(url, packaged("migrations"))
        before = await connection.fetch("select id, tenant_id, name, model_id, created_at from mcp.agents order by id")
        await connection.execute(move)
        await migrate(url, packaged("migrations"))
        await connection.execute(copy)
        after = await connection.fetch("select id, tenant_id, name, model_id, created_at from mcp.agents order by id")
        assert after == before
        shown = {(row["name"], row["agent_id"], row["status"]) for row in await connection.fetch(check)}
        assert shown == {("Code Review", "code-review", "available"), ("Old Bot", "old-bot", "offline")}
        await connection.close()
