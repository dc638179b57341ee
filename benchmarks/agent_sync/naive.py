"""The naive algorithm of the reference implementation: one agent after another, with a connection for each statement.

An agent takes three statements: find the assistant, create it, write its id back.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import asyncpg

from robyn_server.agent_sync import AgentSyncData, AgentSyncScope, sync_single_agent
from robyn_server.agent_sync.catalogue_db.reader import agent_pages
from robyn_server.storage.agent_sync.assistants import SyncedAssistants
from robyn_server.storage.postgres.pools import Role


class ConnectionPerStatement:
    """Has the interface of a pool, but connects for each statement."""

    def __init__(self, dsn: str, role: Role | None = None) -> None:
        self._dsn = dsn
        self._settings = {} if role is None else {"role": role.value}
        self.connections = 0

    async def _run_once(self, method: str, query: str, *args: Any) -> Any:
        self.connections += 1
        connection = await asyncpg.connect(self._dsn, server_settings=self._settings)
        try:
            return await getattr(connection, method)(query, *args)
        finally:
            await connection.close()

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await self._run_once("fetchrow", query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self._run_once("fetchval", query, *args)

    async def fetch(self, query: str, *args: Any) -> Any:
        return await self._run_once("fetch", query, *args)

    async def execute(self, query: str, *args: Any) -> Any:
        return await self._run_once("execute", query, *args)


async def naive_seconds(dsn: str, sample: int) -> float:
    """Seconds of a first sync of the first `sample` agents."""
    catalogue, storage = ConnectionPerStatement(dsn), ConnectionPerStatement(dsn, Role.SYSTEM)
    seconds = await _sync_sequentially(dsn, catalogue, storage, sample)
    if catalogue.connections + storage.connections != 3 * sample:
        raise RuntimeError("the naive algorithm takes three connections per agent")
    return seconds


async def naive_pooled_seconds(dsn: str, sample: int) -> float:
    """The same with pools, so without connecting."""
    settings = {"role": Role.SYSTEM.value}
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=1) as catalogue,
        asyncpg.create_pool(dsn, min_size=1, max_size=1, server_settings=settings) as storage,
    ):
        return await _sync_sequentially(dsn, catalogue, storage, sample)


async def _sync_sequentially(dsn: str, catalogue: Any, storage: Any, sample: int) -> float:
    agents = await _first_agents(dsn, sample)
    target: Any = SimpleNamespace(assistants=SyncedAssistants(storage))  # the reference implementation has no ledger
    started = time.perf_counter()
    for agent in agents:
        result = await sync_single_agent(catalogue, target, agent=agent, owner_id="system")
        if (result.action, result.wrote_back_assistant_id) != ("created", True):
            raise RuntimeError(f"not a cold agent: {result}")
    return time.perf_counter() - started


async def _first_agents(dsn: str, count: int) -> list[AgentSyncData]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        async for page in agent_pages(pool, AgentSyncScope("all"), [], size=count):
            return page
    return []
