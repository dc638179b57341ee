"""The naive algorithm, as the reference implementation did it: one agent after another, a connection for every statement.

Three per agent: to look at the assistant, to create it, to write its id back.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import asyncpg

from robyn_server.agent_sync import AgentSyncData, AgentSyncScope, sync_single_agent
from robyn_server.agent_sync.catalogue import agent_pages
from robyn_server.storage.database import Role
from robyn_server.storage.synced_assistants import SyncedAssistants


class Connecting:
    """Looks like a pool, and connects for every statement."""

    def __init__(self, dsn: str, role: Role | None = None) -> None:
        self._dsn = dsn
        self._settings = {} if role is None else {"role": role.value}
        self.connections = 0

    async def _once(self, method: str, query: str, *args: Any) -> Any:
        self.connections += 1
        connection = await asyncpg.connect(self._dsn, server_settings=self._settings)
        try:
            return await getattr(connection, method)(query, *args)
        finally:
            await connection.close()

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await self._once("fetchrow", query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self._once("fetchval", query, *args)

    async def fetch(self, query: str, *args: Any) -> Any:
        return await self._once("fetch", query, *args)

    async def execute(self, query: str, *args: Any) -> Any:
        return await self._once("execute", query, *args)


async def naive_seconds(dsn: str, sample: int) -> float:
    """Of the first `sample` agents, cold."""
    catalogue, storage = Connecting(dsn), Connecting(dsn, Role.SYSTEM)
    seconds = await _one_after_another(dsn, catalogue, storage, sample)
    if catalogue.connections + storage.connections != 3 * sample:
        raise RuntimeError("the naive algorithm takes three connections per agent")
    return seconds


async def naive_pooled_seconds(dsn: str, sample: int) -> float:
    """The same with pools: no connection is made while it runs."""
    settings = {"role": Role.SYSTEM.value}
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=1) as catalogue,
        asyncpg.create_pool(dsn, min_size=1, max_size=1, server_settings=settings) as storage,
    ):
        return await _one_after_another(dsn, catalogue, storage, sample)


async def _one_after_another(dsn: str, catalogue: Any, storage: Any, sample: int) -> float:
    agents = await _first(dsn, sample)
    target: Any = SimpleNamespace(
        assistants=SyncedAssistants(storage)
    )  # no ledger: the reference implementation kept none
    began = time.perf_counter()
    for agent in agents:
        result = await sync_single_agent(catalogue, target, agent=agent, owner_id="system")
        if (result.action, result.wrote_back_assistant_id) != ("created", True):
            raise RuntimeError(f"not a cold agent: {result}")
    return time.perf_counter() - began


async def _first(dsn: str, count: int) -> list[AgentSyncData]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        async for page in agent_pages(pool, AgentSyncScope("all"), [], size=count):
            return page
    return []
