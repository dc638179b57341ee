"""The migration that records origins: it tells each kind of assistant, and gives back damaged default assistants."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import asyncpg
from databases import fresh_database

from robyn_server.core.ids import default_assistant_id
from robyn_server.files import packaged
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.postgres.migrations import migrate

BEFORE = 15
INSERT = """
insert into agenthall.assistants
  (assistant_id, graph_id, name, config, metadata, owner_id, organization_id, visibility, catalogue_hash, agent_source,
   retired_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


async def test_each_assistant_has_its_origin_and_a_damaged_default_is_restored(postgres: str, tmp_path: Path) -> None:
    for path in sorted(packaged("migrations").glob("*.sql"))[:BEFORE]:
        shutil.copy(path, tmp_path)
    damaged, default, organization = default_assistant_id("agent"), default_assistant_id("echo"), uuid4()
    async with fresh_database(postgres) as dsn:
        await migrate(dsn, tmp_path)
        async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
            secret, agent = '{"configurable": {"system_prompt": "TOP SECRET"}}', '{"supabase_agent_id": "x"}'
            await pool.execute(
                INSERT, default, "echo", "echo", "{}", "{}", "system", None, "everyone", None, "catalogue", None
            )
            await pool.execute(
                INSERT, damaged, "agent", "agent", "{}", "{}", "system", None, "everyone", None, "catalogue", None
            )
            retired_at = await pool.fetchval("select now()")
            await pool.execute(
                """update agenthall.assistants set version = 2, graph_id = 'other', name = 'Secret', config = $2,
                     metadata = metadata || $3, organization_id = $4, catalogue_hash = 'h', retired_at = $5
                    where assistant_id = $1""",
                *(damaged, secret, agent, organization, retired_at),
            )
            for name, source in (("of the catalogue", "catalogue"), ("of a configuration", "configuration")):
                row = (uuid4(), "agent", name, "{}", agent, "system", organization, "organization", "h", source, None)
                await pool.execute(INSERT, *row)
            await pool.execute(
                INSERT, uuid4(), "agent", "mine", "{}", "{}", "anna", None, "private", None, "catalogue", None
            )
            assert next(iter(await migrate(dsn, packaged("migrations")))).version == BEFORE + 1
            await PostgresSyncStore(pool).ensure_default_assistants(["agent", "echo"])
            rows = await pool.fetch("select name, origin from agenthall.assistants order by origin, name")
            assert [tuple(row) for row in rows] == [
                ("of the catalogue", "catalogue"),
                ("mine", "client"),
                ("of a configuration", "configuration"),
                ("agent", "graph"),
                ("echo", "graph"),
            ]
            restored = await pool.fetchrow("select * from agenthall.assistants where assistant_id = $1", damaged)
            assert (restored["graph_id"], restored["config"], restored["retired_at"]) == ("agent", "{}", None)
            versions = "select count(*) from agenthall.assistant_versions where config::text like '%SECRET%'"
            assert await pool.fetchval(versions) == 0
