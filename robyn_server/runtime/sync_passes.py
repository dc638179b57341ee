"""Looks at a whole scope, each of which is written down for all replicas to see, however it ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from robyn_server.agent_sync import (
    AgentSyncOptions,
    AgentSyncScope,
    name_of_source,
    probe_catalogue,
    retire_absent_agents,
    startup_agent_sync,
)
from robyn_server.core.catalogue import AgentSource
from robyn_server.core.errors import AgenthallError
from robyn_server.core.principal import SYSTEM_OWNER
from robyn_server.storage.agent_sync_passes import PassRecord
from robyn_server.storage.database import Pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

from .sync_counts import count_pass

REPLICA = f"{socket.gethostname()}:{os.getpid()}"
_log = structlog.get_logger(__name__)


def told_scope(scope: AgentSyncScope, source: AgentSource) -> str:
    """As passes are kept by: of the catalogue the scope itself, of another source `<source>:<scope>`."""
    return str(scope) if source is AgentSource.CATALOGUE else f"{name_of_source(source)}:{scope}"


class SyncPasses:
    def __init__(
        self, pool: Pool, storage: PostgresAssistantStorage, graph_ids: Sequence[str], options: AgentSyncOptions
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._graph_ids = list(graph_ids)
        self._options = options

    async def last(self) -> list[PassRecord]:
        """The last pass of each scope, the latest first, whichever replica made it. Raises Unavailable."""
        return await self._storage.ledger.passes.last()

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
                await self._keep(scope, started_at, time.monotonic() - began, counters, failure)
        return counters

    async def _sync(self, scope: AgentSyncScope, retire: Callable[[], Awaitable[int]] | None) -> dict[str, int]:
        """What is wrong with the contract is said before any agent is looked at."""
        source = self._options.source
        if scope.type != "none":
            (await probe_catalogue(self._pool, source)).ensure_usable()
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
        retired = await retire_absent_agents(
            self._pool, self._storage.retirement, scope, source, templates=self._options.templates
        )
        return counters | {"retired": retired}

    async def _keep(
        self,
        scope: AgentSyncScope,
        started_at: datetime,
        seconds: float,
        counters: dict[str, int] | None,
        failure: str | None,
    ) -> None:
        """Best effort: a pass is what it is, whether or not it can be written down."""
        count_pass(counters, started_at, seconds)
        try:
            await self._storage.ledger.passes.note(
                told_scope(scope, self._options.source.origin),
                REPLICA,
                started_at,
                seconds,
                counters=counters,
                failure=failure,
            )
        except Exception as error:  # noqa: BLE001  best effort, whatever the reason: the pass itself has ended
            _log.warning("a pass of agent sync could not be written down", scope=str(scope), reason=repr(error))
