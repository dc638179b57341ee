"""LangGraph's tables, as far as they are reached without LangGraph."""

from __future__ import annotations

from uuid import UUID

from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("threads")


class StoredCheckpoints:
    """Works as agenthall_system."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def forget(self, thread_id: UUID) -> None:
        """Deletes all that a thread's graphs have left."""
        async with translated():
            await self._pool.execute(_SQL["forget_checkpoints"], thread_id)
