"""Passes over a whole scope. Each is counted, and recorded for all replicas to see, however it ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import structlog

from robyn_server.agent_sync import (
    AgentSyncOptions,
    AgentSyncScope,
    SyncLog,
    name_of_source,
    probe_catalogue,
    retire_absent_agents,
    startup_agent_sync,
)
from robyn_server.core.access.principal import SYSTEM_OWNER
from robyn_server.core.catalogue.agent_change import RETIRED
from robyn_server.core.catalogue.fields import AgentSource, SyncAction
from robyn_server.core.errors import AgenthallError
from robyn_server.metrics.definitions import SYNC_ACTIONS, SYNC_AGENTS, SYNC_LAST, SYNC_PASSES, SYNC_SECONDS
from robyn_server.storage.agent_sync.passes import PassRecord
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.postgres.pools import Pool

_CONFIGURED = f"{name_of_source(AgentSource.CONFIGURATION)}:"
_log = structlog.get_logger(__name__)


def this_replica() -> str:
    """The process as the record of a pass names it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def scope_key(scope: AgentSyncScope, source: AgentSource) -> str:
    """The scope as passes are recorded by: the catalogue's as it is, another source's as `<source>:<scope>`."""
    return str(scope) if source is AgentSource.CATALOGUE else f"{_CONFIGURED}{scope}"


def parse_scope_key(key: str) -> tuple[str, AgentSource]:
    """The scope's text and its source."""
    source = AgentSource.CONFIGURATION if key.startswith(_CONFIGURED) else AgentSource.CATALOGUE
    return key.removeprefix(_CONFIGURED), source


class SyncPasses:
    def __init__(
        self, pool: Pool, store: PostgresSyncStore, graph_ids: Sequence[str], options: AgentSyncOptions
    ) -> None:
        self._pool = pool
        self._store = store
        self._graph_ids = list(graph_ids)
        self._options = options
        self.log = SyncLog()

    async def last(self) -> list[PassRecord]:
        """The last pass of each scope, the latest first, whichever replica made it. Raises Unavailable."""
        return await self._store.passes.latest()

    async def run(self, scope: AgentSyncScope, retire: Callable[[], Awaitable[int]] | None = None) -> dict[str, int]:
        """Sync and retire; returns {total, created, updated, skipped, failed, retired}.

        `retire` replaces retiring all that is not in `scope`, which is right for the server's own scope only. Raises
        what went wrong; the record then has the reason.
        """
        started_at, began = await self._store.clock(), time.monotonic()
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
                await self._record(scope, started_at, time.monotonic() - began, counters, failure)
        return counters

    async def _sync(self, scope: AgentSyncScope, retire: Callable[[], Awaitable[int]] | None) -> dict[str, int]:
        if scope.type != "none":
            # problems of the contract are reported before any agent is read
            (await probe_catalogue(self._pool, self._options.source)).ensure_usable()
        counters = await startup_agent_sync(
            self._pool,
            self._store,
            scope=scope,
            owner_id=SYSTEM_OWNER,
            graphs=self._graph_ids,
            options=self._options,
            log=self.log,
        )
        if retire is not None:
            return counters | {RETIRED: await retire()}
        return counters | {RETIRED: await retire_absent_agents(self._pool, self._store, scope, self._options)}

    async def _record(
        self,
        scope: AgentSyncScope,
        started_at: datetime,
        seconds: float,
        counters: dict[str, int] | None,
        failure: str | None,
    ) -> None:
        """Best effort: a pass that cannot be recorded has ended all the same."""
        _count_pass(counters, started_at, seconds)
        try:
            await self._store.passes.record(
                scope_key(scope, self._options.source.origin),
                this_replica(),
                started_at,
                seconds,
                counters=counters,
                failure=failure,
            )
        except Exception as error:  # noqa: BLE001  best effort, whatever the reason: the pass itself has ended
            _log.warning("a pass of agent sync could not be recorded", scope=str(scope), reason=repr(error))


def _count_pass(counters: Mapping[str, int] | None, started_at: datetime, seconds: float) -> None:
    """`counters` None: it failed."""
    SYNC_PASSES.inc("failed" if counters is None else "succeeded")
    if counters is None:
        return
    SYNC_SECONDS.observe(seconds)
    SYNC_LAST.set(started_at.timestamp() + seconds)
    for action in SYNC_ACTIONS:
        SYNC_AGENTS.inc("pass", action, by=counters.get(action, 0))


def count_edits(counters: dict[str, int]) -> dict[str, int]:
    """Count the agents that the change feed named, by outcome; returns `counters` as they were."""
    for action, count in counters.items():
        SYNC_AGENTS.inc("feed", RETIRED if action == SyncAction.MISSING else action, by=count)
    return counters
