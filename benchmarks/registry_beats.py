"""Heartbeats through the batch path: the keeper of a process, its flushes, and what they leave in the table."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from robyn_server.core.registry import Beat, Outcome
from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.runtime.leasehold import open_keeper_pool
from robyn_server.storage.leases import Leases

from .registry_place import TENANT, Place
from .registry_rows import Row, percentiles

RATE = 10_000
_SLICES = 20
"""Of a second: beats come in so many bunches, and are not waited for before the next."""

_STATS = """
select n_tup_upd as updated, n_tup_hot_upd as hot, pg_relation_size(relid) as size, pg_indexes_size(relid) as indexes,
       pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal
  from pg_stat_user_tables where relid = 'mcp.agent_leases'::regclass"""


@dataclass(slots=True)
class Beaten:
    times: list[float] = field(default_factory=list)
    refused: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


async def batch(place: Place, seconds: float) -> list[Row]:
    """RATE beats a second of all the rows present in turn, then as many as there can be."""
    ids = [row[0] for row in await place.database.fetch("select registration_id from mcp.agent_leases where epoch = 1")]
    keeper_pool = await open_keeper_pool(place.url, "benchmark")
    keeper = LeaseKeeper(Leases(keeper_pool), "benchmark")
    keeper.start()
    try:
        await _once_each(keeper, ids)
        before, cpu = await _stats(place), place.cpu()
        began = time.monotonic()
        paced = await _paced(keeper, ids, seconds)
        taken, cost = time.monotonic() - began, place.cpu().since(cpu, int(RATE * seconds))
        after = await _stats(place)
        most = await _as_fast_as_possible(keeper, ids, min(5.0, seconds))
    finally:
        await keeper.stop()
        await keeper_pool.close()
    rows = _rows(len(ids), paced, taken, before, after, most)
    return [*rows[:1], Row("their cost", "", cost), *rows[1:]]


def _rows(
    present: int, paced: Beaten, taken: float, before: dict[str, int], after: dict[str, int], most: float
) -> list[Row]:
    rate = len(paced.times) / taken
    p50, p99 = percentiles(paced.times)
    updated = after["updated"] - before["updated"]
    hot = (after["hot"] - before["hot"]) / max(1, updated)
    bytes_each = (after["wal"] - before["wal"]) / len(paced.times)
    reached = f"{rate:,.0f} rows/s for {taken:.0f} s, answered after p50 {p50:.0f} ms, p99 {p99:.0f} ms; {paced.refused} refused"
    grown = (
        f"{_mb(before, 'size')} to {_mb(after, 'size')}, indexes {_mb(before, 'indexes')} to {_mb(after, 'indexes')}"
    )
    return [
        Row(
            f"heartbeats through the batch path, {present:,} rows in turn, {RATE:,}/s asked",
            "10,000 rows/s for 10 minutes",
            reached,
            rate >= 0.99 * RATE and paced.refused == 0,
        ),
        Row("their heap-only updates; WAL", "", f"{hot:.1%} of {updated:,}; {bytes_each:.0f} bytes a beat"),
        Row("growth of mcp.agent_leases meanwhile", "", grown),
        Row("as many as one process can", "", f"{most:,.0f} rows/s"),
    ]


def _mb(stats: dict[str, int], name: str) -> str:
    return f"{stats[name] / 1e6:.0f} MB"


async def _once_each(keeper: LeaseKeeper, ids: list[Any]) -> None:
    """From the long leases that they were filled in with to those that are dictated: these updates are not heap-only."""
    for first in range(0, len(ids), 1000):
        await _bunch(keeper, ids[first : first + 1000], Beaten())


async def _paced(keeper: LeaseKeeper, ids: list[Any], seconds: float) -> Beaten:
    """Bunches start on time, whether or not those before are answered; at the end all are."""
    beaten, size, at = Beaten(), RATE // _SLICES, 0
    began = time.monotonic()
    for number in range(int(seconds * _SLICES)):
        await asyncio.sleep(max(0.0, began + number / _SLICES - time.monotonic()))
        task = asyncio.create_task(_bunch(keeper, [ids[(at + each) % len(ids)] for each in range(size)], beaten))
        beaten.tasks.add(task)
        task.add_done_callback(beaten.tasks.discard)
        at += size
    await asyncio.gather(*beaten.tasks)
    return beaten


async def _bunch(keeper: LeaseKeeper, ids: list[Any], beaten: Beaten) -> None:
    began = time.monotonic()
    answers = await asyncio.gather(*(keeper.beat(Beat(TENANT, each, 1)) for each in ids))
    beaten.times += [time.monotonic() - began] * len(ids)
    beaten.refused += sum(answer.outcome is not Outcome.OK for answer in answers)


async def _as_fast_as_possible(keeper: LeaseKeeper, ids: list[Any], seconds: float) -> float:
    beaten, end = Beaten(), time.monotonic() + seconds

    async def one(first: int) -> None:
        at = first
        while time.monotonic() < end:
            await _bunch(keeper, [ids[(at + each) % len(ids)] for each in range(1000)], beaten)
            at += 4000

    began = time.monotonic()
    await asyncio.gather(*(one(first) for first in range(0, 4000, 1000)))
    return len(beaten.times) / (time.monotonic() - began)


async def _stats(place: Place) -> dict[str, int]:
    """Counters come from other backends within a second or so of their idling."""
    await asyncio.sleep(1.5)
    row = await place.database.fetchrow(_STATS)
    assert row is not None
    return {name: int(row[name]) for name in row.keys()}  # noqa: SIM118 - a record's iteration gives its values
