"""A server that syncs a catalogue while something breaks, and queries of the result.

`AGENT_SYNC_EVERY` is an hour, so no periodic full pass hides a fault.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
from catalogues.catalogue_writer import TABLES
from databases import prepared_database
from run_observer import DatabaseObserver, observe_database
from servers.live_server import LiveServer, Process, live_server

from robyn_server.files import CATALOGUE_FEED

SETTINGS: dict[str, Any] = {
    "AGENT_SYNC_SCOPE": "all",
    "AGENT_SYNC_EVERY": "3600",
    "AGENTHALL_DRAIN_SECONDS": "1",
    "AGENTHALL_LOG_LEVEL": "DEBUG",
}
AGENTS = """
insert into public.agents (id, organization_id, name, system_prompt, graph_id)
select gen_random_uuid(), $2, 'agent ' || n, 'You are number ' || n, 'agent' from generate_series(1, $1::integer) n"""
"""Parameters: the number of agents, and their organization."""

INCONSISTENT = """
select a.assistant_id::text from agenthall.assistants a
 where a.catalogue_hash is not null
   and (a.version <> 1 or (select count(*) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id) <> 1
        or a.metadata ->> 'supabase_agent_id' is distinct from a.assistant_id::text)
union all
select s.agent_id::text from agenthall.agent_sync s
  left join agenthall.assistants a on a.assistant_id = s.assistant_id
 where a.assistant_id is null or s.agent_id <> s.assistant_id or s.assistant_version <> a.version or s.fingerprint is null
    or s.failure is not null or s.write_back_pending or s.last_action not in ('created', 'skipped')"""
"""Assistants that were written twice, and unfinished rows of the ledger."""


async def install_catalogue(catalogue: str) -> None:
    """Create a product's tables and install the feed."""
    connection = await asyncpg.connect(catalogue)
    await connection.execute(TABLES)
    await connection.execute(CATALOGUE_FEED.read_text())
    await connection.close()


@contextlib.asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def synced_server(
    postgres: str, template: str, webs: int = 1, **settings: str
) -> AsyncIterator[tuple[LiveServer, DatabaseObserver, asyncpg.Connection[Any]]]:
    """A server with the catalogue in its database, an observer, and a connection that writes the catalogue."""
    async with (
        prepared_database(postgres, template, TABLES, CATALOGUE_FEED.read_text()) as url,
        live_server(url, webs=webs, workers=0, **SETTINGS | settings) as server,
        observe_database(url) as observer,
        open_connection(url) as product_database,
    ):
        yield server, observer, product_database


async def count_synced(observer: DatabaseObserver) -> int:
    return int(await observer.value("select count(*) from agenthall.assistants where catalogue_hash is not null"))


async def all_synced(observer: DatabaseObserver, agents: int) -> bool:
    """Whether all agents are synced and recorded, without pending write-backs."""
    noted = "select count(*) from agenthall.agent_sync where last_action in ('created', 'skipped') and not write_back_pending"
    return await count_synced(observer) == agents and await observer.value(noted) == agents


async def _prompt(observer: DatabaseObserver, agent_id: str) -> str | None:
    query = "select config #>> '{configurable,system_prompt}' from agenthall.assistants where assistant_id = $1"
    return await observer.value(query, UUID(agent_id))  # type: ignore[no-any-return]


async def has_prompt(observer: DatabaseObserver, agent_id: str, prompt: str) -> bool:
    return await _prompt(observer, agent_id) == prompt


async def update_prompt(product_database: asyncpg.Connection[Any], agent_id: str, prompt: str) -> None:
    await product_database.execute("update public.agents set system_prompt = $2 where id = $1", UUID(agent_id), prompt)


async def is_zero(observer: DatabaseObserver, query: str) -> bool:
    return int(await observer.value(query)) == 0


def count_passes(web: Process) -> int:
    return web.read_log().count("agent sync finished")
