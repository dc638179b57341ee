"""The bytes that tables and threads take on the disk. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("operations/disk_usage")
_SAMPLED_PAGES = 2000
"""Of each table of checkpoints: 16 MB."""


@dataclass(frozen=True, slots=True)
class TableUsage:
    """`rows`: an estimate of PostgreSQL's. `table_bytes`: with large values, which lie in a file of their own."""

    name: str
    rows: int
    table_bytes: int
    index_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.table_bytes + self.index_bytes


@dataclass(frozen=True, slots=True)
class ThreadUsage:
    """Bytes of values on the disk, and numbers of rows. `owner_id` is None for states whose thread is gone."""

    thread_id: str
    owner_id: str | None
    updated_at: datetime | None
    checkpoints: int
    checkpoint_bytes: int
    blobs: int
    blob_bytes: int
    writes: int
    write_bytes: int
    event_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.checkpoint_bytes + self.blob_bytes + self.write_bytes + self.event_bytes


@dataclass(frozen=True, slots=True)
class LargestThreads:
    """`is_sampled`: they are the largest ones in a sample, and a larger one may have been missed."""

    threads: Sequence[ThreadUsage]
    is_sampled: bool


class DiskUsage:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_tables(self) -> Sequence[TableUsage]:
        """List the server's tables, the largest first."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_tables"].bind())
        return [TableUsage(**dict(row)) for row in rows]

    async def list_largest_threads(self, limit: int, pages: int = _SAMPLED_PAGES) -> LargestThreads:
        """Measure the largest threads of a sample of `pages` pages of each table of checkpoints, the largest first."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_largest_threads"].bind(limit=limit, pages=pages))
        threads = sorted(map(_thread_usage, rows), key=lambda each: each.total_bytes, reverse=True)
        return LargestThreads(threads, is_sampled=not all(row["is_exact"] for row in rows))


def _thread_usage(row: Any) -> ThreadUsage:
    storage = from_json(row["storage"])
    states, values, writes = storage["checkpoints"], storage["channel_values"], storage["pending_writes"]
    return ThreadUsage(
        row["thread_id"],
        row["owner_id"],
        row["updated_at"],
        states["count"],
        states["bytes"],
        values["count"],
        values["bytes"],
        writes["count"],
        writes["bytes"],
        row["event_bytes"],
    )
