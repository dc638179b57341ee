"""`python -m benchmarks.store_search [--items N …] [--foreign N] [--dims N] [--without-pgvector]`: what a search by
meaning costs.

One owner has `--items` items, each with one text, in ten namespaces. A thousand others have `--foreign` items together.
A search looks for ten items in all namespaces of the owner, or in one of them. Each line has the processor time of
PostgreSQL, which other work on the machine does not add to, and the median of the times to the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from databases import fresh_database, make_template, private_postgres
from rich.console import Console
from rich.table import Table

from robyn_server.storage.store.items import StoreSession
from robyn_server.storage.store.vectors import use_pgvector

_REPEATED = 7
_ITEMS = """
insert into agenthall.store_items (owner_id, namespace, key, value)
select OWNER, array['notes', 'topic ' || n % 10], 'key ' || n, jsonb_build_object('n', n, 'text', repeat('word ', 40))
  from generate_series(1, ROWS) n
"""
_VECTORS = """
create temporary table vectors as
  select n, array(select random() - 0.5 + 0 * n from generate_series(1, DIMS))::real[] as vector
    from generate_series(0, 499) n;
set session_replication_role = replica;
insert into agenthall.store_vectors (owner_id, path, key, field, vector)
select i.owner_id, i.path, i.key, '$', v.vector
  from agenthall.store_items i join vectors v on v.n = (i.value ->> 'n')::integer % 500;
reset session_replication_role;
"""
_SESSION = "set plan_cache_mode = force_generic_plan; set jit = off; set random_page_cost = 1.1; set role agenthall_app"
_SEARCHES: dict[str, tuple[tuple[str, ...], dict[str, Any] | None]] = {
    "all namespaces": (("notes",), None),
    "one of ten namespaces": (("notes", "topic 3"), None),
    "all, with a filter": (("notes",), {"n": {"$gt": 10}}),
}


@dataclass(frozen=True)
class Cost:
    """Milliseconds of one search."""

    search: str
    items: int
    processor: float
    median: float


async def measure(items: int, foreign: int, dims: int, pgvector: bool) -> list[Cost]:
    with private_postgres(fsync="off") as postgres:
        template = await make_template(postgres.dsn)
        async with fresh_database(postgres.dsn, template) as url:
            if pgvector:
                await use_pgvector(url)
            connection = await _filled(url, items, foreign, dims)
            try:
                near = [random.uniform(-0.5, 0.5) for _ in range(dims)]
                return [await _measure(connection, name, items, near) for name in _SEARCHES]
            finally:
                await connection.close()


async def _filled(url: str, items: int, foreign: int, dims: int) -> Any:
    connection = await asyncpg.connect(url)
    await connection.execute(_ITEMS.replace("OWNER", "'anna'").replace("ROWS", str(items)))
    await connection.execute(_ITEMS.replace("OWNER", "'other ' || n % 1000").replace("ROWS", str(foreign)))
    await connection.execute(_VECTORS.replace("DIMS", str(dims)))
    await connection.execute("vacuum analyze agenthall.store_items, agenthall.store_vectors")
    await connection.execute(f"{_SESSION}; select agenthall.act_as('anna', '{{}}', false)")
    await connection.execute("select set_config('agenthall.identity', 'anna', false)")
    return connection


async def _measure(connection: Any, name: str, items: int, near: list[float]) -> Cost:
    prefix, where = _SEARCHES[name]
    session, times = StoreSession(connection, "anna"), []
    for number in range(_REPEATED + 1):
        if number == 1:  # the first one makes the plans
            before = _processor_ms(connection)
        began = time.perf_counter()
        await session.search(prefix, where, limit=10, offset=0, refresh=False, near=near)
        times.append(time.perf_counter() - began)
    spent = (_processor_ms(connection) - before) / _REPEATED
    return Cost(name, items, spent, 1000 * statistics.median(times[1:]))


def _processor_ms(connection: Any) -> float:
    return int(Path(f"/proc/{connection.get_server_pid()}/schedstat").read_text().split()[0]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.store_search", description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--foreign", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--without-pgvector", action="store_true")
    options = parser.parse_args()
    shown = Table("items of the owner", "search", "processor, ms", "median, ms")
    for items in options.items:
        for cost in asyncio.run(measure(items, options.foreign, options.dims, not options.without_pgvector)):
            shown.add_row(f"{cost.items:,}", cost.search, f"{cost.processor:.1f}", f"{cost.median:.1f}")
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
