"""Agent sync in a running server: a pass at boot and periodically, edits as the feed announces them, one agent on
demand.

Rules
  1. The server is ready when the first attempt has ended, well or badly. A failed attempt is shown in readiness and
     retried soon.
  2. The feed is connected before the first attempt, so that no edit falls between the two.
  3. Agents that left the scope go out of service in the same pass that updates the rest.
  4. The readiness report has the counters of the last pass, but `failed` is the number of agents that fail now, as the
     ledger has them: an edit or another process may have broken or mended one since.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from robyn_server.agent_sync import (
    AgentSyncOptions,
    NegativeCache,
    forget_source,
    lazy_sync_agent,
    sync_changed_agents,
)
from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.access.principal import SYSTEM_OWNER
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.core.errors import AgenthallError
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.postgres.pools import Pool

from .listener import CHANNEL, CatalogueFeed
from .passes import SyncPasses, count_edits
from .poller import CataloguePoll
from .write_backs import WriteBackRetry

_RETRY_SECONDS = 1.0
_FEED_SECONDS = 2.0
"""How long the first attempt waits for the feed; without the feed an early edit is found by the next pass."""

_COUNT_SECONDS = 10.0
"""Between counts of failing agents. A count also follows each pass and each batch of edits."""

_log = structlog.get_logger(__name__)


class SyncRunner:
    """An AgentLookup, and a background service.

    `dsn` is the catalogue's, past any pooler, for the feed on `channel`. `every`: seconds between passes. `poll`:
    seconds between polls where no feed announces edits. `unserved`: sources that this server does not serve; a pass
    retires what is left of them.
    """

    def __init__(
        self,
        pool: Pool,
        store: PostgresSyncStore,
        graph_ids: Sequence[str],
        options: AgentSyncOptions,
        ttl: timedelta,
        *,
        dsn: str,
        every: float,
        stale: timedelta = timedelta(hours=1),
        poll: float = 2.0,
        channel: str = CHANNEL,
        unserved: Collection[AgentSource] = (),
    ) -> None:
        self.ttl = ttl
        self.stale = stale
        self.misses = NegativeCache()
        self.passes = SyncPasses(pool, store, graph_ids, options)
        self._pool = pool
        self._store = store
        self._graph_ids = list(graph_ids)
        self._options = options
        self._unserved = [store.of(source) for source in unserved]
        self._worker = Periodic("agent sync", self._run_pass, every, retry=_RETRY_SECONDS)
        self._feed = CatalogueFeed(dsn, self._apply_edits, self._worker.wake, pool.expire_connections, channel)
        self._poll = CataloguePoll(pool, options, self._feed, poll)
        self._write_backs = WriteBackRetry(pool, store, options)
        self._failing = Periodic("count of failing agents", self._count_failing, _COUNT_SECONDS)
        self._starting: asyncio.Task[None] | None = None
        self._edits_during_pass: set[UUID] | None = None
        self.attempted = asyncio.Event()
        self.counters: dict[str, int] | None = None
        self._failed: int | None = None
        self.failure: str | None = None

    def start(self) -> None:
        self._feed.start()
        self._starting = asyncio.create_task(self._begin(), name="agent sync start")

    async def stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        await self._failing.stop()
        await self._write_backs.stop()
        await self._poll.stop()
        await self._feed.stop()
        await self._worker.stop()

    @property
    def templates(self) -> bool:
        return self._options.templates

    async def sync(
        self,
        agent_id: UUID,
        organizations: frozenset[UUID] | None,
        identity: str | None = None,
        *,
        is_stale: bool = False,
    ) -> UUID | None:
        found = await lazy_sync_agent(
            self._pool,
            self._store,
            agent_id=agent_id,
            owner_id=identity if identity is not None and self._options.templates else SYSTEM_OWNER,
            cache_ttl=self.ttl,
            organizations=self._within_scope(organizations),
            graphs=self._graph_ids,
            options=self._options,
            misses=self.misses,
            is_stale=is_stale,
        )
        return None if found is None else UUID(found)

    @property
    def is_feed_connected(self) -> bool:
        return self._feed.connected

    def feed_report(self) -> dict[str, Any]:
        """How edits are found: the reports of feed and poll."""
        return self._feed.report() | self._poll.report()

    def report(self) -> dict[str, Any]:
        """The part of the readiness report that is about agent sync."""
        report: dict[str, Any] = {"scope": str(self._options.scope), "feed": self.is_feed_connected}
        if self.counters is not None:
            report |= self.counters | ({} if self._failed is None else {"failed": self._failed})
        if self.failure is not None:
            report["failure"] = self.failure
        return report

    def _within_scope(self, organizations: frozenset[UUID] | None) -> frozenset[UUID] | None:
        """Agents outside a scope of organizations are not served on demand either."""
        scope = self._options.scope
        if scope.type != "org":
            return organizations
        served = frozenset(scope.organization_ids)
        return served if organizations is None else served & organizations

    async def _begin(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FEED_SECONDS):
                await self._feed.listening.wait()
        await self._poll.begin()
        self._worker.start()
        self._poll.start()
        self._write_backs.start()
        self._failing.start()

    async def _count_failing(self) -> None:
        self._failed = await self._store.count_failing()

    async def _apply_edits(self, agent_ids: set[UUID]) -> dict[str, int]:
        self.misses.remove(agent_ids)
        if self._edits_during_pass is not None:
            self._edits_during_pass |= agent_ids
        counters = await sync_changed_agents(
            self._pool,
            self._store,
            agent_ids=agent_ids,
            graphs=self._graph_ids,
            options=self._options,
            log=self.passes.log,
        )
        self._failing.wake()
        return count_edits(counters)

    async def _run_pass(self) -> None:
        """Raises what went wrong, so that it is tried again."""
        self.misses.clear()
        self._poll.probe_again()
        self._edits_during_pass = set()
        try:
            await self._store.ensure_default_assistants(self._graph_ids)
            for store in self._unserved:
                await forget_source(store)
            self.counters, self.failure = await self.passes.run(self._options.scope), None
            self._failed = self.counters["failed"]
            self._failing.wake()
        except AgenthallError as error:
            self.failure = error.detail
            raise
        except Exception as error:
            self.failure = f"{type(error).__name__}: see the log"
            _log.exception("agent sync failed; it will be tried again")
            raise
        finally:
            self._replay_edits()
            self.attempted.set()

    def _replay_edits(self) -> None:
        """Apply the edits of a pass's time once more: the pass may have read an agent before an edit and written it
        afterwards."""
        edits, self._edits_during_pass = self._edits_during_pass, None
        if edits:
            self._feed.add(edits)
