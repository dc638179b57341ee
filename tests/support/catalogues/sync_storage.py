"""Storage and catalogue pools that the tests of agent sync inject, and the passes that they run."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from catalogues.catalogue_tables import ALL
from robyn_server.agent_sync import CatalogueSource, plan_agent_sync, startup_agent_sync
from robyn_server.core.catalogue.agent_change import AgentChange
from robyn_server.core.catalogue.fields import CATALOGUE_KEYS
from robyn_server.core.errors import Conflict
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore


class MemoryAssistants:
    """Follows the protocol: all owners find rows of `system`, and an update keeps what the catalogue does not own."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []

    async def get(self, assistant_id: str, owner_id: str) -> dict[str, Any] | None:
        await asyncio.sleep(0)  # like a database, let other tasks run
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


class SingleAgentStore(PostgresSyncStore):
    """A Postgres store that applies no page, so that each agent is synced alone."""

    async def unchanged(self, *_: Any) -> frozenset[UUID]:
        return frozenset()

    async def apply(self, *_: Any) -> dict[UUID, Any]:
        return {}


async def plan_changes(pool: Any, view: Any, **options: Any) -> list[AgentChange]:
    """Return the changes that a dry run reports."""
    changes = list[AgentChange]()
    await plan_agent_sync(pool, view, changes.extend, **options)
    return changes


class RecordingPool:
    """Passes statements on to a real pool and records them.

    `refuse`: errors to raise instead, by a part of the statement. `gate`: reads wait for this event.
    """

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


async def run_full_pass(pool: Any, storage: Any, **options: Any) -> dict[str, int]:
    """Run a pass over all agents, as a server does when it starts."""
    return await startup_agent_sync(pool, storage, scope=ALL, owner_id="system", **options)


async def get_assistant(storage: Any, agent_id: UUID) -> dict[str, Any]:
    """Return the agent's assistant."""
    row = await storage.assistants.get(str(agent_id), "system")
    assert row is not None
    return row


async def count_writes(storage: Any, real_pool: Any) -> int:
    """Count the writes of assistants. In Postgres, each write is a version."""
    if isinstance(storage, MemoryStorage):
        return len(storage.assistants.writes)
    return await real_pool.fetchval("select count(*) from agenthall.assistant_versions")
