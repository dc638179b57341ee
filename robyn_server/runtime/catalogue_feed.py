"""The catalogue's change feed: ids of edited agents arrive by NOTIFY and are applied, gathered, within milliseconds.

Rules
  1. The feed is a wake-up, never the truth: after each (re)connect, and every so often, the whole scope is compared.
  2. Every replica applies what it hears. That is idempotent; whoever comes second finds the work done.
  3. What could not be applied stays on the list and is tried again.
  4. What broke the feed's connection may have broken those of the pool, too: they are made anew before anybody reads through them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import structlog

from robyn_server.core.ids import find_uuid
from robyn_server.metrics.definitions import FEED_LAG

from .background import Periodic
from .channels import Listener

CHANNEL = "agenthall_catalogue"
"""Payload: ids of agents, comma separated, or `*`."""

_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class CatalogueFeed:
    """`apply` takes ids of agents; `reconcile` asks for a look at the whole scope, and does not wait for it.

    `renew` lets a pool's connections be made anew (`Pool.expire_connections`); called after the feed was lost, before `reconcile`.
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
        self._renewing: asyncio.Task[None] | None = None
        self._waiting: set[UUID] = set()
        self._waiting_since: float | None = None
        self._lag: float | None = None
        self._applies = Periodic("catalogue feed", self._work, _RETRY_SECONDS)
        self._listener = Listener(dsn, "agenthall catalogue feed", {channel: self.told}, self._connected)
        self.listening = asyncio.Event()
        """Set once the feed was heard for the first time."""

    @property
    def connected(self) -> bool:
        return self._listener.connected

    def report(self) -> dict[str, Any]:
        """{connected, waiting, waiting_seconds, lag_seconds}: agents that are told of and not applied, since when; how long the last
        took from being told to being effective, null before the first."""
        since = self._waiting_since
        return {
            "connected": self.connected,
            "waiting": len(self._waiting),
            "waiting_seconds": 0.0 if since is None else round(time.monotonic() - since, 3),
            "lag_seconds": self._lag,
        }

    def start(self) -> None:
        self._applies.start()
        self._listener.start()

    async def stop(self) -> None:
        await self._listener.stop()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await self._applies.stop()

    def _connected(self) -> None:
        """Whatever was said while nobody listened is found by looking; before the first time, somebody looks anyway."""
        if self.listening.is_set():
            self._renewing = asyncio.create_task(self._look_again(), name="catalogue feed is back")
        self.listening.set()

    async def _look_again(self) -> None:
        if self._renew is not None:
            await self._renew()
        self._reconcile()

    def told(self, payload: str) -> None:
        """Takes a notification. What is neither an id nor `*` is nobody's agent."""
        if payload == "*":
            self._reconcile()
            return
        self._waiting |= {agent_id for text in payload.split(",") if (agent_id := find_uuid(text)) is not None}
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        self._applies.wake()

    async def _work(self) -> None:
        taken, self._waiting = self._waiting, set()
        since, self._waiting_since = self._waiting_since, None
        if not taken or since is None:
            return
        try:
            counters = await self._apply(taken)
        except BaseException:
            self._waiting |= taken
            self._waiting_since = since
            raise
        lag = time.monotonic() - since
        self._lag = round(lag, 3)
        FEED_LAG.observe(lag)
        _log.info("catalogue edits applied", agents=len(taken), result=counters)
