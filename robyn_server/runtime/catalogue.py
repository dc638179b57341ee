"""Agent sync in a running server: the whole scope at boot, and the gate through which requests sync one agent.

The first attempt's end, good or bad, makes the server ready; one that failed is shown in readiness and tried again, later each time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from robyn_server.agent_sync import AgentSyncOptions, lazy_sync_agent, startup_agent_sync
from robyn_server.core.errors import AgenthallError
from robyn_server.core.principal import SYSTEM_OWNER
from robyn_server.storage.database import Pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

from .background import backoff

_FIRST_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Catalogue:
    """A CatalogueGate, and a background service."""

    def __init__(
        self,
        pool: Pool,
        storage: PostgresAssistantStorage,
        graph_ids: Sequence[str],
        options: AgentSyncOptions,
        ttl: timedelta,
    ) -> None:
        self.ttl = ttl
        self._pool = pool
        self._storage = storage
        self._graph_ids = list(graph_ids)
        self._options = options
        self._task: asyncio.Task[None] | None = None
        self.attempted = asyncio.Event()
        self.counters: dict[str, int] | None = None
        self.failure: str | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._until_synced(), name="startup agent sync")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def sync(self, agent_id: UUID, organizations: frozenset[UUID] | None) -> UUID | None:
        found = await lazy_sync_agent(
            self._pool,
            self._storage,
            agent_id=agent_id,
            owner_id=SYSTEM_OWNER,
            cache_ttl=self.ttl,
            organizations=organizations,
            graphs=self._graph_ids,
            options=self._options,
        )
        return None if found is None else UUID(found)

    def report(self) -> dict[str, Any]:
        """What readiness says of the sync."""
        report: dict[str, Any] = {"scope": str(self._options.scope)}
        if self.counters is not None:
            report |= self.counters
        if self.failure is not None:
            report["failure"] = self.failure
        return report

    async def _until_synced(self) -> None:
        failures = 0
        while not await self._attempt():
            failures += 1
            await asyncio.sleep(backoff(failures, _FIRST_RETRY_SECONDS))

    async def _attempt(self) -> bool:
        try:
            await self._storage.ensure_default_assistants(self._graph_ids)
            self.counters = await startup_agent_sync(
                self._pool,
                self._storage,
                scope=self._options.scope,
                owner_id=SYSTEM_OWNER,
                graphs=self._graph_ids,
                options=self._options,
            )
            self.failure = None
        except AgenthallError as error:
            self.failure = error.detail
            _log.error("agent sync failed; it will be tried again", reason=error.detail)
        except Exception as error:  # noqa: BLE001 - the server serves on, and shows it
            self.failure = f"{type(error).__name__}: see the log"
            _log.exception("agent sync failed; it will be tried again")
        finally:
            self.attempted.set()
        return self.failure is None
