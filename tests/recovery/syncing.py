"""A catalogue that is synced while something breaks, and what is to be seen of it in the tables.

All servers look at the whole scope only when something tells them to (`AGENT_SYNC_EVERY` is an hour), so what heals, heals by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
from contract.product import TABLES
from databases import prepared_database
from live_server import LiveServer, Process, live_server
from outages import Watch, watching

from robyn_server.files import CATALOGUE_FEED

SETTINGS: dict[str, Any] = {"AGENT_SYNC_SCOPE": "all", "AGENT_SYNC_EVERY": "3600", "AGENTHALL_DRAIN_SECONDS": "1"}
AGENTS = """
insert into public.agents (id, organization_id, name, system_prompt, graph_id)
select gen_random_uuid(), $2, 'agent ' || n, 'You are number ' || n, 'agent' from generate_series(1, $1::integer) n"""
"""Its parameters are how many, and of which organization."""

UNWRITTEN = """
select a.assistant_id::text from agenthall.assistants a
 where a.catalogue_hash is not null
   and (a.version <> 1 or (select count(*) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id) <> 1
        or a.metadata ->> 'supabase_agent_id' is distinct from a.assistant_id::text)
union all
select s.agent_id::text from agenthall.agent_sync s
  left join agenthall.assistants a on a.assistant_id = s.assistant_id
 where a.assistant_id is null or s.agent_id <> s.assistant_id or s.assistant_version <> a.version or s.fingerprint is null
    or s.failure is not null or s.write_back_pending or s.last_action not in ('created', 'skipped')"""
"""Assistants that were written twice, and lines of the ledger that tell of something half done. None, when all is well."""


async def set_up(catalogue: str) -> None:
    """A product's tables, with the feed installed."""
    connection = await asyncpg.connect(catalogue)
    await connection.execute(TABLES)
    await connection.execute(CATALOGUE_FEED.read_text())
    await connection.close()


@contextlib.asynccontextmanager
async def writing(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def synced_server(
    postgres: str, template: str, webs: int = 1, **settings: str
) -> AsyncIterator[tuple[LiveServer, Watch, asyncpg.Connection[Any]]]:
    """A server that syncs a catalogue in its own database, a look at its tables, and the product, which writes into the catalogue."""
    async with (
        prepared_database(postgres, template, TABLES, CATALOGUE_FEED.read_text()) as url,
        live_server(url, webs=webs, workers=0, **SETTINGS | settings) as server,
        watching(url) as watch,
        writing(url) as product,
    ):
        yield server, watch, product


async def count(watch: Watch) -> int:
    return int(await watch.value("select count(*) from agenthall.assistants where catalogue_hash is not null"))


async def each_has_one(watch: Watch, agents: int) -> bool:
    """Whether all are there, noted in the ledger, with nothing owed."""
    noted = "select count(*) from agenthall.agent_sync where last_action in ('created', 'skipped') and not write_back_pending"
    return await count(watch) == agents and await watch.value(noted) == agents


async def _prompt(watch: Watch, agent_id: str) -> str | None:
    query = "select config #>> '{configurable,system_prompt}' from agenthall.assistants where assistant_id = $1"
    return await watch.value(query, UUID(agent_id))  # type: ignore[no-any-return]


async def shows(watch: Watch, agent_id: str, prompt: str) -> bool:
    return await _prompt(watch, agent_id) == prompt


async def edit(product: asyncpg.Connection[Any], agent_id: str, prompt: str) -> None:
    await product.execute("update public.agents set system_prompt = $2 where id = $1", UUID(agent_id), prompt)


async def is_more(watch: Watch, query: str, number: int) -> bool:
    return int(await watch.value(query)) > number


async def is_zero(watch: Watch, query: str) -> bool:
    return not await is_more(watch, query, 0)


def passes(web: Process) -> int:
    return web.said().count("agent sync finished")
