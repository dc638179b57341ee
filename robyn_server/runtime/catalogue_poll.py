"""Edits of a catalogue that does not tell them: asked for every few seconds, by `updated_at`, as long as nobody else tells.

Rules
  1. Where the feed's triggers are on every table, and the feed is heard, nothing is asked but whether that is still so.
  2. What is found goes the feed's way: gathered, applied, tried again. Every replica asks for itself.
  3. It is no more the truth than the feed is: the full passes are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from robyn_server.agent_sync import AgentSyncOptions, RecentEdits, is_feed_installed
from robyn_server.core.errors import AgenthallError, CatalogueUnavailable
from robyn_server.storage.database import Pool

from .background import Periodic

_BEGIN_SECONDS = 2.0
"""A catalogue that does not answer must not keep the first pass from saying so."""


class CataloguePoll:
    """`told` takes ids of agents, comma separated, or `*`, as CatalogueFeed.told. `every`: seconds between looks."""

    def __init__(
        self,
        pool: Pool,
        options: AgentSyncOptions,
        told: Callable[[str], None],
        is_heard: Callable[[], bool],
        every: float,
    ) -> None:
        self._pool = pool
        self._source = options.source
        self._told = told
        self._is_heard = is_heard
        self._every = every
        self._edits = RecentEdits(pool, options.source)
        self._looks = Periodic("catalogue poll", self.look, every)
        self._is_installed: bool | None = None
        self._failure: str | None = None

    async def begin(self) -> None:
        """Before the first pass: what was edited until now is the pass's. Where that cannot be asked, the first look tells it again."""
        with contextlib.suppress(CatalogueUnavailable, TimeoutError):
            async with asyncio.timeout(_BEGIN_SECONDS):
                await self._edits.look()

    def start(self) -> None:
        self._looks.start()

    async def stop(self) -> None:
        await self._looks.stop()

    def probe_again(self) -> None:
        self._edits.probe_again()

    def report(self) -> dict[str, Any]:
        """{installed, polling, poll_seconds, without_updated_at, failure}; nulls: not known yet."""
        polling = self._is_installed is not None and not (self._is_installed and self._is_heard())
        return {
            "installed": self._is_installed,
            "polling": polling,
            "poll_seconds": self._every,
            "without_updated_at": self._edits.without_clock if polling else None,
            "failure": self._failure,
        }

    async def look(self) -> None:
        """Raises CatalogueUnavailable; that is in the report, too."""
        try:
            await self._look()
        except AgenthallError as error:
            self._failure = error.detail
            raise
        self._failure = None

    async def _look(self) -> None:
        self._is_installed = await is_feed_installed(self._pool, self._source)
        if self._is_installed and self._is_heard():
            self._edits.pause()
            return
        edits = await self._edits.look()
        if edits.are_many:
            self._told("*")
        elif edits.agent_ids:
            self._told(",".join(map(str, edits.agent_ids)))
