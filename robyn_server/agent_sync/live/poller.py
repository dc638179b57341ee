"""Find edits of a catalogue without triggers: every few seconds, by `updated_at`.

Rules
  1. Where the feed's triggers are on every table, and the feed is connected, only that is checked.
  2. Edits that are found go the feed's way: batched, applied, tried again. Every replica polls for itself.
  3. Polling is a hint, as the feed is: the full passes are the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from robyn_server.agent_sync import AgentSyncOptions, EditPoller, is_feed_installed
from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import AgenthallError, CatalogueUnavailable
from robyn_server.storage.postgres.pools import Pool

from .listener import CatalogueFeed

_BEGIN_SECONDS = 2.0
"""A catalogue that does not answer must not delay the first pass, which says so."""


class CataloguePoll:
    """Hands edits to `feed`. `every`: seconds between polls."""

    def __init__(self, pool: Pool, options: AgentSyncOptions, feed: CatalogueFeed, every: float) -> None:
        self._pool = pool
        self._source = options.source
        self._feed = feed
        self._every = every
        self._edits = EditPoller(pool, options.source)
        self._worker = Periodic("catalogue poll", self.poll, every)
        self._is_installed: bool | None = None
        self._failure: str | None = None

    async def begin(self) -> None:
        """Set the watermark before the first pass, which sees all edits until now.

        If that fails, the first poll finds them again.
        """
        with contextlib.suppress(CatalogueUnavailable, TimeoutError):
            async with asyncio.timeout(_BEGIN_SECONDS):
                await self._edits.poll()

    def start(self) -> None:
        self._worker.start()

    async def stop(self) -> None:
        await self._worker.stop()

    def probe_again(self) -> None:
        self._edits.probe_again()

    def report(self) -> dict[str, Any]:
        """{installed, polling, poll_seconds, without_updated_at, failure}; nulls: not known yet."""
        polling = self._is_installed is not None and not (self._is_installed and self._feed.connected)
        return {
            "installed": self._is_installed,
            "polling": polling,
            "poll_seconds": self._every,
            "without_updated_at": self._edits.without_clock if polling else None,
            "failure": self._failure,
        }

    async def poll(self) -> None:
        """Raises CatalogueUnavailable; the report then has the reason."""
        try:
            await self._poll()
        except AgenthallError as error:
            self._failure = error.detail
            raise
        self._failure = None

    async def _poll(self) -> None:
        self._is_installed = await is_feed_installed(self._pool, self._source)
        if self._is_installed and self._feed.connected:
            self._edits.pause()
            return
        edits = await self._edits.poll()
        if edits.overflow:
            self._feed.add_all()
        elif edits.agent_ids:
            self._feed.add(edits.agent_ids)
