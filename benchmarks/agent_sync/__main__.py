"""`python -m benchmarks.agent_sync [--agents N …] [--json] [--plot FILE]`: measure agent sync by size.

For each size:

  cold_s                   a first sync (median of three up to 10,000 agents)
  naive_s, naive_pooled_s  the reference implementation's algorithm, with a connection for each statement and with pools
                           (from 10,000 agents on, measured on a sample and scaled)
  bare_insert_s            two INSERT … SELECT of the same rows into the assistant and version tables, without trigger
                           and ledger (alternating with cold_s).
  unchanged_s, read_s      a second sync, and reading the catalogue's pages alone (medians of three, alternating)

  rows_written_unchanged   assistants that the second sync wrote
  peak_memory_mb           peak resident size of a process that runs one sync, with Python and its imports
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import orjson
import structlog
from databases import fresh_database, postgres_server

from benchmarks import ROOT
from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import migrate

from .catalogue import clear_sync, fill_catalogue
from .naive import naive_pooled_seconds, naive_seconds
from .plot import plot

SIZES = (1_000, 10_000, 100_000)
SAMPLE_FROM, SAMPLE = 10_000, 500
REPEATS = 3
_BARE_INSERTS = """
insert into agenthall.assistants ({columns}) select {columns} from assistants_copy;
insert into agenthall.assistant_versions select * from versions_copy;
"""
_COLUMNS = """
select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
 where attrelid = 'agenthall.assistants'::regclass and attnum > 0 and not attisdropped and attgenerated = ''
"""


async def measure(postgres: str, agents: int) -> dict[str, Any]:
    """Measure one size. The keys of the result are those of the module's docstring."""
    async with fresh_database(postgres) as dsn:
        await migrate(dsn, packaged("migrations"))
        await fill_catalogue(dsn, agents)
        naive = await _naive(dsn, agents)
        cold, bare = await _cold_and_bare(dsn, agents)
        await clear_sync(dsn)
        cold.append(await _cold(dsn, agents))
        before = await _versions(dsn)
        unchanged, read = [], []
        for _ in range(REPEATS):
            read.append(await _child("read", dsn))
            unchanged.append(await _child("sync", dsn))
            _expect(unchanged[-1], skipped=agents)
        return {
            "agents": agents,
            "cold_s": _median(cold, 3),
            **naive,
            "bare_insert_s": round(median(bare), 3),
            "unchanged_s": _median(unchanged, 4),
            "read_s": _median(read, 4),
            "rows_written_unchanged": await _versions(dsn) - before,
            "peak_memory_mb": round(max(each["peak_memory_mb"] for each in [*cold, *unchanged]), 1),
        }


async def _cold_and_bare(dsn: str, agents: int) -> tuple[list[dict[str, Any]], list[float]]:
    # Alternate, because other load on the machine changes.
    cold, bare = [], []
    for _ in range(REPEATS - 1 if agents <= SAMPLE_FROM else 1):
        await clear_sync(dsn)
        cold.append(await _cold(dsn, agents))
        bare.append(await _bare_insert(dsn))
    return cold, bare


async def _cold(dsn: str, agents: int) -> dict[str, Any]:
    result = await _child("sync", dsn)
    _expect(result, created=agents)
    return result


def _median(results: list[dict[str, Any]], digits: int) -> float:
    return round(median(each["seconds"] for each in results), digits)


async def _naive(dsn: str, agents: int) -> dict[str, Any]:
    sample = agents if agents < SAMPLE_FROM else SAMPLE
    seconds = {}
    for name, run in (("naive_s", naive_seconds), ("naive_pooled_s", naive_pooled_seconds)):
        seconds[name] = round(await run(dsn, sample) * agents / sample, 2)
        await clear_sync(dsn)
    return {**seconds, "naive_sample": sample}


async def _child(what: str, dsn: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.agent_sync.child", what, dsn, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{what} ended with {process.returncode}")
    result: dict[str, Any] = orjson.loads(output)
    return result


def _expect(result: dict[str, Any], **counters: int) -> None:
    for name, count in counters.items():
        if result["counters"][name] != count:
            raise RuntimeError(f"{result['counters']} instead of {counters}")


async def _versions(dsn: str) -> int:
    """Count the writes of assistants: each is a version."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select count(*) from agenthall.assistant_versions"))
    finally:
        await connection.close()


async def _bare_insert(dsn: str) -> float:
    """Insert the rows of the sync again by SQL alone."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "create temp table assistants_copy as table agenthall.assistants;"
            "create temp table versions_copy as table agenthall.assistant_versions;"
            "truncate agenthall.assistants cascade; alter table agenthall.assistants disable trigger user"
        )
        started = time.perf_counter()
        await connection.execute(_BARE_INSERTS.format(columns=await connection.fetchval(_COLUMNS)))
        seconds = time.perf_counter() - started
        await connection.execute("alter table agenthall.assistants enable trigger user")
        return seconds
    finally:
        await connection.close()


def table(results: list[dict[str, Any]]) -> str:
    """Format the results and their ratios."""
    lines = []
    for each in results:
        scaled = f" (from {each['naive_sample']:,} agents)" if each["naive_sample"] < each["agents"] else ""
        lines += [
            f"{each['agents']:,} agents",
            f"  cold        {each['cold_s']:9.2f} s",
            f"    naive     {each['naive_s']:9.2f} s{scaled}: {each['naive_s'] / each['cold_s']:.0f}x",
            f"    pooled    {each['naive_pooled_s']:9.2f} s{scaled}: {each['naive_pooled_s'] / each['cold_s']:.1f}x",
            f"    bare SQL  {each['bare_insert_s']:9.2f} s: cold takes {each['cold_s'] / each['bare_insert_s']:.1f}x",
            f"  unchanged   {each['unchanged_s']:9.3f} s, {each['rows_written_unchanged']} assistants written",
            f"    reading   {each['read_s']:9.3f} s: unchanged takes {each['unchanged_s'] / each['read_s']:.2f}x",
            f"  peak memory {each['peak_memory_mb']:9.1f} MB",
        ]
    return "\n".join(lines)


async def measure_all(sizes: list[int]) -> list[dict[str, Any]]:
    with postgres_server() as postgres:
        return [await measure(postgres, agents) for agents in sizes]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.agent_sync", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, nargs="+", default=list(SIZES), metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line for each size")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot time and memory by size as SVG")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    results = asyncio.run(measure_all(arguments.agents))
    print("\n".join(orjson.dumps(each).decode() for each in results) if arguments.json else table(results))
    if arguments.plot:
        arguments.plot.write_text(plot(results), encoding="utf-8")


if __name__ == "__main__":
    main()
