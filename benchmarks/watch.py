"""Measure how long a change takes to reach its watchers.

    python -m benchmarks.watch postgresql://…/postgres --subscriptions 1000 --streams 200 --changes 300

Creates and drops a database for the run. Measures subscriptions of twenty organizations within one process, then
streams over HTTP from a server process. A change is a registration; its time runs from before the call until a
watcher has the event.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx
import orjson

from robyn_server.core.registry.instances import InstanceFilter, RegistrationRequest
from robyn_server.files import packaged
from robyn_server.registry.leases.event_broker import AGENT_EVENTS, InstanceEventBroker, Subscription
from robyn_server.storage.postgres.migrations import migrate
from robyn_server.storage.postgres.notify import Listener
from robyn_server.storage.postgres.pools import Role, open_pool
from robyn_server.storage.registry.instances.instances import Instances
from robyn_server.storage.registry.instances.leases import Leases

TENANTS = [UUID(int=100 + number) for number in range(20)]
_INTERVAL = 0.02


class PropagationTimes:
    """When each change started, and how long each watcher waited for it."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.latencies: list[float] = []

    def record(self, instance_id: str) -> None:
        started = self.started.get(instance_id)
        if started is not None:
            self.latencies.append(time.perf_counter() - started)

    def report(self, what: str, watchers: int) -> None:
        latencies = sorted(self.latencies)
        p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
        print(
            f"{watchers} {what}: {len(latencies)} of {len(self.started) * watchers // len(TENANTS)} received; p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {latencies[-1] * 1000:.0f} ms"
        )


async def _register_instances(instances: Instances, times: PropagationTimes, changes: int, prefix: str) -> None:
    for number in range(changes):
        instance_id = f"{prefix}{number}"
        times.started[instance_id] = time.perf_counter()
        asked = RegistrationRequest(agent_id="watched", instance_id=instance_id, capabilities=("search",))
        await instances.register(TENANTS[number % len(TENANTS)], asked, registered_by="benchmark", keeper_id=None)
        await asyncio.sleep(_INTERVAL)
    await asyncio.sleep(1)


async def measure_subscriptions(url: str, instances: Instances, count: int, changes: int) -> None:
    pool, times = await open_pool(url, Role.SYSTEM, size=4, name="benchmark watch"), PropagationTimes()
    watch = InstanceEventBroker(Leases(pool))
    listener = Listener(url, "benchmark", {AGENT_EVENTS: watch.wake}, watch.wake_all)
    watch.start()
    listener.start()

    async def follow(subscription: Subscription) -> None:
        async for events in subscription:
            for event in events:
                times.record(event.instance["instance_id"])

    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for number in range(count):
            wanted = watch.subscribe(TENANTS[number % len(TENANTS)], InstanceFilter())
            tasks.append(asyncio.create_task(follow(await stack.enter_async_context(wanted))))
        await _register_instances(instances, times, changes, "process")
        for task in tasks:
            task.cancel()
    times.report("subscriptions of one process", count)
    await listener.stop()
    await watch.stop()
    await pool.close()


async def measure_streams(url: str, instances: Instances, count: int, changes: int) -> None:
    times = PropagationTimes()
    async with (
        _server(url, count) as base,
        httpx.AsyncClient(base_url=base, timeout=60, limits=httpx.Limits(max_connections=None)) as client,
    ):
        watching = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(_stream(client, TENANTS[n % len(TENANTS)], times, watching)) for n in range(count)]
        for _ in range(count):
            await watching.acquire()
        await _register_instances(instances, times, changes, "stream")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    times.report("streams over HTTP", count)


async def _stream(
    client: httpx.AsyncClient, tenant: UUID, times: PropagationTimes, watching: asyncio.Semaphore
) -> None:
    async with client.stream("GET", "/agents/watch", headers={"x-organization-id": str(tenant)}) as answer:
        async for line in answer.aiter_lines():
            if line == "event: watching":
                watching.release()
            elif line.startswith('data: {"position":') and '"instance"' in line:
                times.record(orjson.loads(line[6:])["instance"]["instance_id"])


@contextlib.asynccontextmanager
async def _server(url: str, streams: int) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    more = {"DATABASE_URL": url, "AGENTHALL_PORT": str(port), "AGENTHALL_MAX_STREAMS": str(2 * streams)}
    child = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
        [sys.executable, "-m", "robyn_server", "web"],
        env=os.environ | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client:
            while not await _is_ready(client, base):
                await asyncio.sleep(0.1)
        yield base
    finally:
        child.send_signal(signal.SIGTERM)
        await asyncio.to_thread(child.wait)


async def _is_ready(client: httpx.AsyncClient, base: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await client.get(f"{base}/ok")).status_code == 200
    return False


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("url")
    parser.add_argument("--subscriptions", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--changes", type=int, default=300)
    arguments = parser.parse_args()
    name = f"watch_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(arguments.url)
    await admin.execute(f"create database {name}")
    try:
        url = urlsplit(arguments.url)._replace(path=f"/{name}").geturl()
        await migrate(url, packaged("migrations"))
        pool = await open_pool(url, Role.APP, size=2, name="benchmark")
        await measure_subscriptions(url, Instances(pool), arguments.subscriptions, arguments.changes)
        await measure_streams(url, Instances(pool), arguments.streams, arguments.changes)
        await pool.close()
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


if __name__ == "__main__":
    asyncio.run(main())
