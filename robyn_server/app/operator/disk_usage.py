"""`agenthall storage`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from robyn_server import logs
from robyn_server.app.parts.database import check_schema
from robyn_server.app.parts.pools import Pools
from robyn_server.settings import Settings
from robyn_server.storage.operations.disk_usage import DiskUsage, LargestThreads, TableUsage


def run_disk_usage(settings: Settings, threads: int) -> tuple[Sequence[TableUsage], LargestThreads]:
    """Measure the tables and the largest threads. Raises Misconfigured if there is no schema yet, Unavailable."""
    logs.configure(settings)  # on standard error: only the tables go to standard output
    return asyncio.run(_measure(settings, threads))


async def _measure(settings: Settings, threads: int) -> tuple[Sequence[TableUsage], LargestThreads]:
    await check_schema(settings, "agenthall.checkpoint_retention")
    async with AsyncExitStack() as closing:
        usage = DiskUsage(await Pools(settings, closing).system("agenthall storage", size=1))
        return await usage.list_tables(), await usage.list_largest_threads(threads)
