"""The catalogue's change feed: ids of edited agents arrive by NOTIFY, and are applied in batches within milliseconds.

Rules
  1. The feed is a hint, never the truth: after each reconnect, and periodically, the whole scope is compared.
  2. Every replica applies what it receives. That is idempotent; the replica that comes second has nothing left to do.
  3. Edits that could not be applied stay pending and are tried again.
  4. A fault that broke the feed's connection may have broken those of the pool: they are renewed before anything is
     read through them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.ids import find_uuid
from robyn_server.metrics.definitions import FEED_LAG
from robyn_server.storage.postgres.notify import Listener

CHANNEL = "agenthall_catalogue"
"""Payload: ids of agents, comma separated, or `*`."""

_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class CatalogueFeed:
    """`apply` takes ids of agents. `reconcile` requests a comparison of the whole scope, and does not wait for it.

    `renew` makes a pool replace its connections (`Pool.expire_connections`). It is called after the feed was lost,
    before `reconcile`.
    """

    def __init__(
        self,
        dsn: str,
        apply: Callable[[set[UUID]], Awaitable[object]],
        reconcile: Callable[[], None],
        renew: Callable[[], Awaitable[object]] | None = None,
        channel: str = CHANNEL,
    ) -> None:
        self._apply = apply
        self._reconcile = reconcile
        self._renew = renew
        self._reconnecting: asyncio.Task[None] | None = None
        self._pending: set[UUID] = set()
        self._pending_since: float | None = None
        self._lag: float | None = None
        self._worker = Periodic("catalogue feed", self._apply_pending, _RETRY_SECONDS)
        self._listener = Listener(dsn, "agenthall catalogue feed", {channel: self._on_notify}, self._on_connect)
        self.listening = asyncio.Event()
        """Set when the feed is connected for the first time."""

    @property
    def connected(self) -> bool:
        return self._listener.connected

    def report(self) -> dict[str, Any]:
        """{connected, waiting, waiting_seconds, lag_seconds}.

        `waiting`: agents whose edits are not applied yet, `waiting_seconds`: since when; `lag_seconds`: how long the
        last batch took from its arrival until it was effective, null before the first.
        """
        since = self._pending_since
        return {
            "connected": self.connected,
            "waiting": len(self._pending),
            "waiting_seconds": 0.0 if since is None else round(time.monotonic() - since, 3),
            "lag_seconds": self._lag,
        }

    def start(self) -> None:
        self._worker.start()
        self._listener.start()

    async def stop(self) -> None:
        await self._listener.stop()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.wait([self._reconnecting])
        await self._worker.stop()

    def add(self, agent_ids: Collection[UUID]) -> None:
        """Apply edits of these agents, together with those that are pending."""
        self._pending.update(agent_ids)
        if self._pending_since is None:
            self._pending_since = time.monotonic()
        self._worker.wake()

    def add_all(self) -> None:
        """Compare the whole scope: more agents were edited than can be named."""
        self._reconcile()

    def _on_connect(self) -> None:
        # edits that were made while the feed was away are found by comparing; at boot the first pass does that anyway
        if self.listening.is_set():
            self._reconnecting = asyncio.create_task(self._reconnected(), name="catalogue feed is back")
        self.listening.set()

    async def _reconnected(self) -> None:
        if self._renew is not None:
            await self._renew()
        self._reconcile()

    def _on_notify(self, payload: str) -> None:
        """Take ids, or `*`. Anything else in the payload is ignored."""
        if payload == "*":
            self.add_all()
        else:
            self.add({agent_id for text in payload.split(",") if (agent_id := find_uuid(text)) is not None})

    async def _apply_pending(self) -> None:
        agent_ids, self._pending = self._pending, set()
        since, self._pending_since = self._pending_since, None
        if not agent_ids or since is None:
            return
        try:
            counters = await self._apply(agent_ids)
        except BaseException:
            self._pending |= agent_ids
            self._pending_since = since
            raise
        lag = time.monotonic() - since
        self._lag = round(lag, 3)
        FEED_LAG.observe(lag)
        _log.debug("catalogue edits applied", agents=len(agent_ids), result=counters)
