"""Run one measurement in a separate process, to know its peak memory: `python -m benchmarks.agent_sync.child WHAT DSN`.

Prints, for `sync` or `read`, {seconds, peak_memory_mb, counters} as JSON.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
import time
from typing import Any

import asyncpg
import orjson
import structlog

from robyn_server.agent_sync import AgentSyncScope, startup_agent_sync
from robyn_server.agent_sync.catalogue_db.contract import EXPECTED
from robyn_server.agent_sync.catalogue_db.reader import page_of_agents
from robyn_server.agent_sync.catalogue_db.source import STANDARD
from robyn_server.app.process import tune_garbage_collection
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.postgres.pools import Role, open_pool

ALL = AgentSyncScope("all")
PAGE = 500


async def sync(dsn: str) -> Any:
    async with asyncpg.create_pool(dsn, min_size=2, max_size=4) as catalogue:
        pool = await open_pool(dsn, Role.SYSTEM, size=4, name="benchmark")
        try:
            started = time.perf_counter()
            counters = await startup_agent_sync(catalogue, PostgresSyncStore(pool), scope=ALL, owner_id="system")
            return time.perf_counter() - started, counters
        finally:
            await pool.close()


async def read(dsn: str) -> Any:
    """Read the catalogue page by page, without parsing it."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as catalogue:
        started, rows, after = time.perf_counter(), 0, None
        while page := await page_of_agents(catalogue, STANDARD, ALL, after, PAGE)(EXPECTED):
            rows, after = rows + len(page), page[-1]["agent_id"]
        return time.perf_counter() - started, {"total": rows}


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    tune_garbage_collection()  # as the server process that syncs does
    what, dsn = sys.argv[1:]
    seconds, counters = asyncio.run({"sync": sync, "read": read}[what](dsn))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(orjson.dumps({"seconds": seconds, "peak_memory_mb": peak, "counters": counters}).decode())


if __name__ == "__main__":
    main()
