"""Measure heartbeats through the batch path: rate, latency, and growth of the lease table."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from robyn_server.core.registry.instances import Heartbeat, Outcome
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.registry.leases.lease_services import open_keeper_pool
from robyn_server.storage.registry.instances.leases import Leases

from .environment import TENANT, Environment
from .report import Row, percentiles

RATE = 10_000
_SLICES = 20
"""Batches in each second. A batch does not wait for the answers of the one before."""

_STATS = """
select n_tup_upd as updated, n_tup_hot_upd as hot, pg_relation_size(relid) as size, pg_indexes_size(relid) as indexes,
       pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal
  from pg_stat_user_tables where relid = 'mcp.agent_leases'::regclass"""


@dataclass(slots=True)
class HeartbeatResults:
    times: list[float] = field(default_factory=list)
    refused: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


async def measure_heartbeats(environment: Environment, seconds: float) -> list[Row]:
    """Send RATE heartbeats per second for all leases in turn, then as many as possible."""
    ids = [
        row[0]
        for row in await environment.database.fetch("select registration_id from mcp.agent_leases where epoch = 1")
    ]
    keeper_pool = await open_keeper_pool(environment.url, "benchmark")
    keeper = HeartbeatBatcher(Leases(keeper_pool), "benchmark")
    keeper.start()
    try:
        await _beat_once(keeper, ids)
        before, cpu_before = await _stats(environment), environment.cpu_time()
        started = time.monotonic()
        paced = await _run_at_rate(keeper, ids, seconds)
        duration, cost = (
            time.monotonic() - started,
            environment.cpu_time().describe_since(cpu_before, int(RATE * seconds)),
        )
        after = await _stats(environment)
        highest_rate = await _run_at_full_speed(keeper, ids, min(5.0, seconds))
    finally:
        await keeper.stop()
        await keeper_pool.close()
    rows = _rows(len(ids), paced, duration, before, after, highest_rate)
    return [*rows[:1], Row("cost of the heartbeats", "", cost), *rows[1:]]


def _rows(
    present: int,
    paced: HeartbeatResults,
    duration: float,
    before: dict[str, int],
    after: dict[str, int],
    highest_rate: float,
) -> list[Row]:
    rate = len(paced.times) / duration
    p50, p99 = percentiles(paced.times)
    updated = after["updated"] - before["updated"]
    hot = (after["hot"] - before["hot"]) / max(1, updated)
    bytes_each = (after["wal"] - before["wal"]) / len(paced.times)
    reached = f"{rate:,.0f} rows/s for {duration:.0f} s, answered after p50 {p50:.0f} ms, p99 {p99:.0f} ms; {paced.refused} refused"
    grown = (
        f"{_mb(before, 'size')} to {_mb(after, 'size')}, indexes {_mb(before, 'indexes')} to {_mb(after, 'indexes')}"
    )
    return [
        Row(
            f"heartbeats through the batch path, {present:,} rows in turn, {RATE:,}/s requested",
            "10,000 rows/s for 10 minutes",
            reached,
            rate >= 0.99 * RATE and paced.refused == 0,
        ),
        Row("heap-only updates; WAL", "", f"{hot:.1%} of {updated:,}; {bytes_each:.0f} bytes per heartbeat"),
        Row("growth of mcp.agent_leases meanwhile", "", grown),
        Row("highest rate of one process", "", f"{highest_rate:,.0f} rows/s"),
    ]


def _mb(stats: dict[str, int], name: str) -> str:
    return f"{stats[name] / 1e6:.0f} MB"


async def _beat_once(keeper: HeartbeatBatcher, ids: list[Any]) -> None:
    """Replace the long leases of the crowd by normal ones. These updates are not heap-only."""
    for first in range(0, len(ids), 1000):
        await _send_batch(keeper, ids[first : first + 1000], HeartbeatResults())


async def _run_at_rate(keeper: HeartbeatBatcher, ids: list[Any], seconds: float) -> HeartbeatResults:
    """Start each batch on time, whether or not earlier ones are answered. Waits for all answers at the end."""
    results, size, at = HeartbeatResults(), RATE // _SLICES, 0
    started = time.monotonic()
    for number in range(int(seconds * _SLICES)):
        await asyncio.sleep(max(0.0, started + number / _SLICES - time.monotonic()))
        task = asyncio.create_task(_send_batch(keeper, [ids[(at + each) % len(ids)] for each in range(size)], results))
        results.tasks.add(task)
        task.add_done_callback(results.tasks.discard)
        at += size
    await asyncio.gather(*results.tasks)
    return results


async def _send_batch(keeper: HeartbeatBatcher, ids: list[Any], results: HeartbeatResults) -> None:
    started = time.monotonic()
    answers = await asyncio.gather(*(keeper.submit(Heartbeat(TENANT, each, 1)) for each in ids))
    results.times += [time.monotonic() - started] * len(ids)
    results.refused += sum(answer.outcome is not Outcome.OK for answer in answers)


async def _run_at_full_speed(keeper: HeartbeatBatcher, ids: list[Any], seconds: float) -> float:
    results, end = HeartbeatResults(), time.monotonic() + seconds

    async def one(first: int) -> None:
        at = first
        while time.monotonic() < end:
            await _send_batch(keeper, [ids[(at + each) % len(ids)] for each in range(1000)], results)
            at += 4000

    started = time.monotonic()
    await asyncio.gather(*(one(first) for first in range(0, 4000, 1000)))
    return len(results.times) / (time.monotonic() - started)


async def _stats(environment: Environment) -> dict[str, int]:
    # Backends report their counters about a second after they become idle.
    await asyncio.sleep(1.5)
    row = await environment.database.fetchrow(_STATS)
    assert row is not None
    return {name: int(row[name]) for name in row.keys()}  # noqa: SIM118 - a record's iteration gives its values
