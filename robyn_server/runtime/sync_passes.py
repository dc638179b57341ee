"""Looks at a whole scope, and the record of the last one of each scope. In this process: every replica makes its own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, retire_absent_agents, startup_agent_sync
from robyn_server.core.errors import AgenthallError
from robyn_server.core.principal import SYSTEM_OWNER
from robyn_server.storage.database import Pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

MOST_SCOPES = 20


@dataclass(frozen=True, slots=True)
class PassRecord:
    """`started_at`: the server database's clock. `counters` of one that ended well, `failure` of one that did not."""

    scope: str
    started_at: datetime
    seconds: float
    counters: dict[str, int] | None = None
    failure: str | None = None


class SyncPasses:
    def __init__(
        self, pool: Pool, storage: PostgresAssistantStorage, graph_ids: Sequence[str], options: AgentSyncOptions
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._graph_ids = list(graph_ids)
        self._options = options
        self._records: dict[str, PassRecord] = {}

    @property
    def records(self) -> list[PassRecord]:
        """The last pass of each scope, the latest first."""
        return list(reversed(self._records.values()))

    async def run(self, scope: AgentSyncScope, retire: Callable[[], Awaitable[int]] | None = None) -> dict[str, int]:
        """{total, created, updated, skipped, failed, retired}. `retire` instead of retiring all that is not in `scope`, which is right
        for the server's own scope only. Raises what went wrong; that is in the record, too."""
        started_at, began = await self._storage.retirement.clock(), time.monotonic()
        counters, failure = None, None
        try:
            counters = await self._sync(scope, retire)
        except AgenthallError as error:
            failure = error.detail
            raise
        except Exception as error:
            failure = f"{type(error).__name__}: see the log"
            raise
        finally:
            if counters is not None or failure is not None:  # neither: it was cancelled
                self._keep(PassRecord(str(scope), started_at, time.monotonic() - began, counters, failure))
        return counters

    async def _sync(self, scope: AgentSyncScope, retire: Callable[[], Awaitable[int]] | None) -> dict[str, int]:
        counters = await startup_agent_sync(
            self._pool,
            self._storage,
            scope=scope,
            owner_id=SYSTEM_OWNER,
            graphs=self._graph_ids,
            options=self._options,
        )
        if retire is not None:
            return counters | {"retired": await retire()}
        return counters | {"retired": await retire_absent_agents(self._pool, self._storage.retirement, scope)}

    def _keep(self, record: PassRecord) -> None:
        self._records.pop(record.scope, None)
        self._records[record.scope] = record
        if len(self._records) > MOST_SCOPES:
            del self._records[next(iter(self._records))]
