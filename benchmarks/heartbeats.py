"""Measure how many heartbeats per second one process writes, and what they cost the database.

    python -m benchmarks.heartbeats postgresql://…/postgres --instances 10000 --rate 10000 --seconds 60

Creates and drops a database for the run. Prints the rate, the latency, the share of heap-only updates, the WAL, and
the size of the table before and after, which must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from robyn_server.core.registry.instances import Heartbeat, Outcome
from robyn_server.files import packaged
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.storage.postgres.migrations import migrate
from robyn_server.storage.postgres.pools import Role, open_pool
from robyn_server.storage.registry.instances.leases import Leases

TENANT = UUID(int=1)
_FILL = """
insert into mcp.agent_manifests (agent_id) values ('beating');
insert into mcp.agent_configurations (tenant_id, manifest_id, name) select '00000000-0000-0000-0000-000000000001', id, 'x' from mcp.agent_manifests;
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name)
select c.tenant_id, c.manifest_id, 'beating', 'i' || n, 'x' from mcp.agent_configurations c, generate_series(1, {count}) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select id, tenant_id, manifest_id, 1, now() + interval '15 s', now(), '15 s' from mcp.agent_instances;
vacuum analyze mcp.agent_leases;
"""
_MEASURE = """
select n_tup_upd, n_tup_hot_upd, pg_table_size('mcp.agent_leases') as table_size, pg_indexes_size('mcp.agent_leases') as index_size,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as wal
  from pg_stat_user_tables where relid = 'mcp.agent_leases'::regclass
"""


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)] if values else 0.0


async def measure(url: str, instances: int, rate: int, seconds: float) -> None:
    owner = await asyncpg.connect(url)
    for statement in _FILL.format(count=instances).strip().split(";\n"):
        await owner.execute(statement.rstrip(";"))
    ids = [row["id"] for row in await owner.fetch("select id from mcp.agent_instances")]
    pool = await open_pool(url, Role.SYSTEM, size=2, name="benchmark keeper")
    keeper = HeartbeatBatcher(Leases(pool), "benchmark")
    keeper.start()
    await asyncio.sleep(1)
    before, started, cpu = await owner.fetchrow(_MEASURE), time.perf_counter(), time.process_time()
    latencies, failures = await _run_at_rate(keeper, ids, rate, seconds)
    duration, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    await asyncio.sleep(1.5)
    await owner.execute("select pg_stat_clear_snapshot()")
    after = await owner.fetchrow(_MEASURE)
    _print(before, after, latencies, failures, duration, cpu_seconds)
    await keeper.stop()
    await pool.close()
    await owner.close()


async def _run_at_rate(keeper: HeartbeatBatcher, ids: list[UUID], rate: int, seconds: float) -> tuple[list[float], int]:
    """Each instance sends a heartbeat in turn, and the next one only after the answer, as real instances do."""
    latencies: list[float] = []
    failures = 0
    in_flight: dict[UUID, asyncio.Task[None]] = {}

    async def beat(registration_id: UUID) -> None:
        nonlocal failures
        at = time.perf_counter()
        answer = await keeper.submit(Heartbeat(TENANT, registration_id, 1, load={"workload": 1}))
        latencies.append(time.perf_counter() - at)
        failures += answer.outcome is not Outcome.OK
        del in_flight[registration_id]

    started, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - started) < seconds:
        for number in range(sent, int(now * rate)):
            registration_id = ids[number % len(ids)]
            if registration_id not in in_flight:
                in_flight[registration_id] = asyncio.create_task(beat(registration_id))
        sent = int(now * rate)
        await asyncio.sleep(0.005)
    await asyncio.gather(*in_flight.values())
    return latencies, failures


def _print(before: Any, after: Any, latencies: list[float], failures: int, duration: float, cpu_seconds: float) -> None:
    rows, hot = after["n_tup_upd"] - before["n_tup_upd"], after["n_tup_hot_upd"] - before["n_tup_hot_upd"]
    wal = float(after["wal"] - before["wal"])
    print(
        f"heartbeats {len(latencies)} in {duration:.1f} s: {len(latencies) / duration:,.0f}/s, {failures} not ok; this process used {cpu_seconds / duration:.0%} of a core"
    )
    print(
        f"latency    p50 {_percentile(latencies, 0.5) * 1000:.0f} ms, p99 {_percentile(latencies, 0.99) * 1000:.0f} ms, longest {max(latencies) * 1000:.0f} ms"
    )
    print(f"rows       {rows} written, {hot / max(1, rows):.2%} heap-only")
    print(f"WAL        {wal / 1e6:.0f} MB, {wal / max(1, rows):.0f} bytes a row")
    for what in ("table_size", "index_size"):
        print(f"{what:10} {before[what] / 1e6:.1f} MB before, {after[what] / 1e6:.1f} MB after")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("url")
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--durable", action="store_true", help="wait for the disk at each commit, for comparison")
    arguments = parser.parse_args()
    name = f"heartbeats_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(arguments.url)
    await admin.execute(f"create database {name}")
    try:
        url = urlsplit(arguments.url)._replace(path=f"/{name}").geturl()
        await migrate(url, packaged("migrations"))
        if arguments.durable:
            await _make_durable(url)
        await measure(url, arguments.instances, arguments.rate, arguments.seconds)
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def _make_durable(url: str) -> None:
    """Replace the function by one that does not turn synchronous_commit off."""
    owner = await asyncpg.connect(url)
    text = await owner.fetchval("select pg_get_functiondef('mcp.heartbeat_agent_instances'::regproc)")
    await owner.execute(text.replace("set_config('synchronous_commit', 'off', true)", "1"))
    await owner.close()


if __name__ == "__main__":
    asyncio.run(main())
