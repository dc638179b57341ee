"""Template agents as tests meet them: references by users, passes over the whole scope, and a look at the copies."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid5

from agent_sync_surroundings import ALL

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


async def lazy(pool, storage, agent_id, user, *, options=ON, **more):
    return await lazy_sync_agent(pool, storage, agent_id=agent_id, owner_id=user, options=options, **more)


async def boot(pool, storage, options=ON):
    """A pass over the whole scope, as a server makes it."""
    counters = await startup_agent_sync(pool, storage, scope=options.scope, owner_id="system", options=options)
    if (retirement := getattr(storage, "retirement", None)) is None:
        return counters
    retired = await retire_absent_agents(pool, retirement, options.scope, options.source, templates=options.templates)
    return counters | {"retired": retired}


async def copies_of(storage, agent_id, users=USERS):
    rows = [await storage.assistants.get(str(uuid5(agent_id, user)), user) for user in users]
    assert None not in rows
    return rows


def prompts(rows):
    return [row["config"]["configurable"].get("system_prompt") for row in rows]


async def in_service(real_pool, agent_id):
    """How many of the agent's assistants are: (shared, copies)."""
    row = await real_pool.fetchrow(
        "select count(*) filter (where assistant_id = $1) as shared, count(*) filter (where template_id = $1) as copies"
        " from agenthall.assistants where retired_at is null",
        agent_id,
    )
    return tuple(row)
