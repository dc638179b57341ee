"""Agent sync in a running server: the whole scope at boot and every so often, edits as the feed tells them, one agent on demand.

Rules
  1. The first attempt's end, good or bad, makes the server ready. One that failed is shown in readiness and tried again soon.
  2. The feed is listened to before the first attempt, so that no edit falls between the two.
  3. What left the catalogue's scope goes out of service in the same pass that brings the rest up to date.
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
    Misses,
    lazy_sync_agent,
    sync_changed_agents,
)
from robyn_server.core.catalogue import AgentSource
from robyn_server.core.errors import AgenthallError
from robyn_server.core.principal import SYSTEM_OWNER
from robyn_server.metrics.definitions import FEED_CONNECTED
from robyn_server.storage.database import Pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

from .background import Periodic
from .catalogue_feed import CHANNEL, CatalogueFeed
from .catalogue_poll import CataloguePoll
from .sync_counts import count_edits
from .sync_passes import SyncPasses

_RETRY_SECONDS = 1.0
_FEED_SECONDS = 2.0
"""How long the first attempt waits for the feed; without it an early edit waits for the next pass."""

_log = structlog.get_logger(__name__)


class Catalogue:
    """A CatalogueGate, and a background service. `dsn` is the catalogue's, past any pooler, for the feed; `every` and `poll` are
    seconds: between passes, and between looks for edits where no feed tells them. `channel`: where the feed tells them. `unserved`:
    sources that this server does not serve; what is in service of them is retired by the pass."""

    def __init__(
        self,
        pool: Pool,
        storage: PostgresAssistantStorage,
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
        self.misses = Misses()
        self.passes = SyncPasses(pool, storage, graph_ids, options)
        self._pool = pool
        self._storage = storage
        self._graph_ids = list(graph_ids)
        self._options = options
        self._retirements = [storage.of(source).retirement for source in unserved]
        self._passes = Periodic("agent sync", self._pass, every, retry=_RETRY_SECONDS)
        self._feed = CatalogueFeed(dsn, self._apply, self._passes.wake, pool.expire_connections, channel)
        self._poll = CataloguePoll(pool, options, self._feed.told, lambda: self._feed.connected, poll)
        self._starting: asyncio.Task[None] | None = None
        self._heard: set[UUID] | None = None
        self.attempted = asyncio.Event()
        self.counters: dict[str, int] | None = None
        self.failure: str | None = None

    def start(self) -> None:
        FEED_CONNECTED.follow(lambda: self.is_feed_connected)
        self._feed.start()
        self._starting = asyncio.create_task(self._begin(), name="agent sync start")

    async def stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        await self._poll.stop()
        await self._feed.stop()
        await self._passes.stop()

    @property
    def templates(self) -> bool:
        return self._options.templates

    async def sync(
        self, agent_id: UUID, organizations: frozenset[UUID] | None, identity: str | None = None
    ) -> UUID | None:
        found = await lazy_sync_agent(
            self._pool,
            self._storage,
            agent_id=agent_id,
            owner_id=identity if identity is not None and self._options.templates else SYSTEM_OWNER,
            cache_ttl=self.ttl,
            organizations=self._within_scope(organizations),
            graphs=self._graph_ids,
            options=self._options,
            misses=self.misses,
        )
        return None if found is None else UUID(found)

    @property
    def is_feed_connected(self) -> bool:
        return self._feed.connected

    def feed_report(self) -> dict[str, Any]:
        """How edits are heard of: what feed and poll say of themselves."""
        return self._feed.report() | self._poll.report()

    def report(self) -> dict[str, Any]:
        """What readiness says of the sync."""
        report: dict[str, Any] = {"scope": str(self._options.scope), "feed": self.is_feed_connected}
        if self.counters is not None:
            report |= self.counters
        if self.failure is not None:
            report["failure"] = self.failure
        return report

    def _within_scope(self, organizations: frozenset[UUID] | None) -> frozenset[UUID] | None:
        """Agents outside a scope of organisations are not to be had on demand either."""
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
        self._passes.start()
        self._poll.start()

    async def _apply(self, agent_ids: set[UUID]) -> dict[str, int]:
        self.misses.forget(agent_ids)
        if self._heard is not None:
            self._heard |= agent_ids
        counters = await sync_changed_agents(
            self._pool, self._storage, agent_ids=agent_ids, graphs=self._graph_ids, options=self._options
        )
        return count_edits(counters)

    async def _pass(self) -> None:
        """Raises what went wrong, so that it is tried again."""
        self.misses.forget_all()
        self._poll.probe_again()
        self._heard = set()
        try:
            await self._storage.ensure_default_assistants(self._graph_ids)
            for retirement in self._retirements:
                await retirement.retire_absent(None, None, [], await retirement.clock())
            self.counters, self.failure = await self.passes.run(self._options.scope), None
        except AgenthallError as error:
            self.failure = error.detail
            raise
        except Exception as error:
            self.failure = f"{type(error).__name__}: see the log"
            _log.exception("agent sync failed; it will be tried again")
            raise
        finally:
            self._hear_again()
            self.attempted.set()

    def _hear_again(self) -> None:
        """A pass may have read an agent before an edit and written it afterwards: edits of its time are applied once more."""
        heard, self._heard = self._heard, None
        if heard:
            self._feed.told(",".join(map(str, heard)))
