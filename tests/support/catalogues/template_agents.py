"""Syncs of template agents, and their copies."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid5

from catalogues.catalogue_tables import ALL
from robyn_server.agent_sync import (
    AgentSyncOptions,
    lazy_sync_agent,
    retire_absent_agents,
    startup_agent_sync,
)

ON = AgentSyncOptions(scope=ALL, templates=True)
OFF = AgentSyncOptions(scope=ALL)
NEVER_FRESH = timedelta(0)
USERS = ("anna", "bob")


async def sync_for_user(pool, storage, agent_id, user, *, options=ON, **more):
    return await lazy_sync_agent(pool, storage, agent_id=agent_id, owner_id=user, options=options, **more)


async def run_template_pass(pool, storage, options=ON):
    """Run a pass over the whole scope, as a server does."""
    counters = await startup_agent_sync(pool, storage, scope=options.scope, owner_id="system", options=options)
    return counters | {"retired": await retire_absent_agents(pool, storage, options.scope, options)}


async def get_copies(storage, agent_id, users=USERS):
    rows = [await storage.assistants.get(str(uuid5(agent_id, user)), user) for user in users]
    assert None not in rows
    return rows


def system_prompts(rows):
    return [row["config"]["configurable"].get("system_prompt") for row in rows]


async def count_active(real_pool, agent_id):
    """Count the agent's assistants that are not retired: (shared, copies)."""
    row = await real_pool.fetchrow(
        "select count(*) filter (where assistant_id = $1) as shared, count(*) filter (where template_id = $1) as copies"
        " from agenthall.assistants where retired_at is null",
        agent_id,
    )
    return tuple(row)
