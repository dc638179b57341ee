"""One measurement in a process of its own, so that its peak memory is its own: `python -m benchmarks.agent_sync_child WHAT DSN`.

Prints {seconds, peak_memory_mb, counters}.
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
from robyn_server.agent_sync.catalogue import page_of_agents
from robyn_server.agent_sync.contract import EXPECTED
from robyn_server.agent_sync.source import STANDARD
from robyn_server.app.process import collect_seldom
from robyn_server.storage.database import Role, open_pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

ALL = AgentSyncScope("all")
PAGE = 500


async def sync(dsn: str) -> Any:
    async with asyncpg.create_pool(dsn, min_size=2, max_size=4) as catalogue:
        pool = await open_pool(dsn, Role.SYSTEM, size=4, name="benchmark")
        try:
            began = time.perf_counter()
            counters = await startup_agent_sync(catalogue, PostgresAssistantStorage(pool), scope=ALL, owner_id="system")
            return time.perf_counter() - began, counters
        finally:
            await pool.close()


async def read(dsn: str) -> Any:
    """The catalogue once, page by page, and nothing done with it: no parsing, no objects but the driver's."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as catalogue:
        began, rows, after = time.perf_counter(), 0, None
        while page := await page_of_agents(catalogue, STANDARD, ALL, after, PAGE)(EXPECTED):
            rows, after = rows + len(page), page[-1]["agent_id"]
        return time.perf_counter() - began, {"total": rows}


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    collect_seldom()  # as the process does that syncs in a server
    what, dsn = sys.argv[1:]
    seconds, counters = asyncio.run({"sync": sync, "read": read}[what](dsn))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(orjson.dumps({"seconds": seconds, "peak_memory_mb": peak, "counters": counters}).decode())


if __name__ == "__main__":
    main()
