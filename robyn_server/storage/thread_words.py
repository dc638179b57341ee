"""The words of threads, which searches find. Works as agenthall_system, for all owners.

A run does not wait for them: they follow the state of a thread within seconds.
"""

from __future__ import annotations

from datetime import timedelta

from .postgres.errors import translated
from .postgres.pools import Pool
from .postgres.queries import load

_SQL = load("thread_words")
_BATCH = 100
_SECONDS = 600
"""States may be large, and the first look reads those of all threads."""
_SETTLED = timedelta(minutes=1)
"""Longer than the transaction in which a run ends: a change that was committed later would be passed by."""


class ThreadWords:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def index_changed(self) -> int:
        """Read the words of all threads whose state has changed, and return how many. Raises Unavailable.

        0 also while another process reads them, or a request has locked one of the threads.
        """
        total = 0
        query = _SQL["index_changed"].bind(settled=_SETTLED, limit=_BATCH)
        async with translated():
            while count := await self._pool.fetchval(*query, timeout=_SECONDS):
                total += count
        return total
