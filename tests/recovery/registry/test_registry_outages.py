"""Processes of ours die, stand still or are cut off, and no living instance is taken for dead; afterwards the dead go.

Leases are short here, so that a pause of PAUSE seconds is longer than a lease, as a minute is than the lease of a
real one. AGENTHALL_TEST_LONG=1 pauses for a minute, with the leases as they are delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from databases import database_url, make_template
from deadlines import DEADLINE
from network.faulty_proxy import FaultyProxy, PostgresProxy
from registry_fleet import AGENT, Fleet, Observer, run_http_instance, run_socket_instance
from servers.live_server import LiveServer, Process, accepts, free_port, live_server, until

from robyn_server.supervisor.postgres.server import EmbeddedPostgres

LONG = bool(os.environ.get("AGENTHALL_TEST_LONG"))
PAUSE = 60.0 if LONG else 12.0
SOCKETS, HTTP = (270, 30) if LONG else (120, 30)
"""All run on the event loop of the test. On a busy machine it is late with the heartbeats of more."""
# longest_outage stays at two minutes: a process that is away for longer loses its instances, and starting one takes
# time.
_SHORT = {
    "lease_ttl": "10s",
    "heartbeat_interval": "2s",
    "lease_grace": "10s",
    "retention_inactive": "3s",
}
TENANT = "00000000-0000-0000-0000-000000000001"

pytestmark = pytest.mark.timeout(1800 if LONG else 600)


class World:
    """One PostgreSQL, one web, one sockets process that reaches the database over a proxy, and a fleet of both
    kinds."""

    def __init__(
        self, postgres: EmbeddedPostgres, server: LiveServer, sockets: Process, port: int, database_proxy: PostgresProxy
    ) -> None:
        self.postgres, self.server, self.sockets, self.port = postgres, server, sockets, port
        self.database_proxy = database_proxy
        self.fleet = Fleet()
        self.observer = Observer(server.database, SOCKETS + HTTP)

    def fill(self) -> None:
        for n in range(SOCKETS):
            self.fleet.add(f"s{n}", run_socket_instance(lambda: f"ws://127.0.0.1:{self.port}/ws", f"s{n}"))
        for n in range(HTTP):
            self.fleet.add(f"h{n}", run_http_instance(self.server.url, f"h{n}"))

    async def settled(self) -> None:
        """Wait until all are active and have sent a heartbeat after this call."""
        moment = await until(self._now)
        await until(lambda: self.fleet.check() or self.observer.all_renewed_since(moment))
        self.fleet.check()

    async def _now(self) -> datetime | None:
        with contextlib.suppress(asyncpg.CannotConnectNowError):  # it is starting
            return await self.observer.now()
        return None

    async def sockets_serve(self) -> None:
        await until(lambda: asyncio.to_thread(accepts, self.port))  # the clients go on meanwhile

    @property
    def web(self) -> Process:
        return self.server.webs[0]


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="agenthall-registry-"))
    postgres = EmbeddedPostgres(folder / "pg", options={"fsync": "off", "max_connections": "200"})
    try:
        url = database_url(postgres.start(), await make_template(postgres.dsn))
        if not LONG:
            await _shorten(url)
        proxy = PostgresProxy(url)
        async with proxy.serving(), live_server(url, workers=0, AGENTHALL_DEV_TENANT=TENANT) as server:
            port = free_port()
            environment = server.environment | {"AGENTHALL_SOCKETS_PORT": str(port), "DATABASE_URL": proxy.url}
            sockets = Process("sockets", environment, folder / "sockets.log")
            found = World(postgres, server, sockets, port, proxy)
            try:
                await found.sockets_serve()
                found.fill()
                await found.settled()
                yield found
            finally:
                found.fleet.kill(len(found.fleet.instances))
                sockets.kill()
                sockets.popen.wait()
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _shorten(url: str) -> None:
    connection = await asyncpg.connect(url)
    name = await connection.fetchval("select current_database()")
    for setting, value in _SHORT.items():
        await connection.execute(f"alter database {name} set mcp.{setting} = '{value}'")
    await connection.close()


@pytest.fixture(autouse=True)
async def check_invariants(world: World) -> AsyncIterator[None]:
    """After each test nobody has been evicted, all are there, and each has one row."""
    began = await world.observer.now()
    yield
    await world.settled()
    if len(world.fleet.instances) == SOCKETS + HTTP:
        assert await world.observer.evictions_since(began) == []
        await _one_row_for_each(world)


async def _one_row_for_each(world: World) -> None:
    connection = await asyncpg.connect(world.server.database)
    rows = await connection.fetch(
        "select instance_id, count(*) from mcp.agent_registrations where agent_id = $1 group by 1", AGENT
    )
    await connection.close()
    assert {row[0]: row[1] for row in rows} == dict.fromkeys(world.fleet.instances, 1)


async def test_a_killed_sockets_process_evicts_nobody_and_its_instances_come_back(world: World) -> None:
    async with world.observer.polling():
        world.sockets.kill(signal.SIGKILL)
        await world.sockets.ended()
        await until(lambda: world.observer.polls > 3)
        world.sockets.start()
        await world.sockets_serve()
        await world.settled()
    assert world.observer.lowest == world.observer.expected


async def test_a_killed_database_evicts_nobody(world: World) -> None:
    assert world.postgres.pid is not None
    os.kill(world.postgres.pid, signal.SIGKILL)
    await until(lambda: world.postgres.poll() is not None)
    async with world.observer.polling():
        await asyncio.to_thread(world.postgres._start_server)
        await world.settled()
    assert world.observer.lowest == world.observer.expected
    world.server.check_alive()
    assert world.sockets.popen.poll() is None


STOPPED = ["sockets and web", "postgres", *(["sockets", "web", "everything"] if LONG else [])]


@pytest.mark.parametrize("what", STOPPED)
async def test_who_stands_still_for_longer_than_a_lease_evicts_nobody(world: World, what: str) -> None:
    assert world.postgres.pid is not None
    pids = {
        "sockets": [world.sockets.popen.pid],
        "web": [world.web.popen.pid],
        "sockets and web": [world.sockets.popen.pid, world.web.popen.pid],
        "postgres": _family(world.postgres.pid),
        "everything": [world.sockets.popen.pid, world.web.popen.pid, *_family(world.postgres.pid)],
    }[what]
    async with world.observer.polling():
        await _stopped(pids, PAUSE)
        await world.settled()
        await _for(2.0)
    assert world.observer.lowest == world.observer.expected


async def test_a_sockets_process_cut_off_from_the_database_evicts_nobody(world: World) -> None:
    """No byte goes on and nothing is closed; connections that are made meanwhile fare alike."""
    async with world.observer.polling():
        end = time.monotonic() + PAUSE
        while time.monotonic() < end:
            world.database_proxy.freeze()
            await asyncio.sleep(0.05)
        await world.settled()
        await _for(2.0)
    assert world.observer.lowest == world.observer.expected


async def test_an_answer_that_is_lost_after_the_commit_burns_no_epoch(world: World) -> None:
    body = {"agent_id": "lossy", "instance_id": str(uuid4()), "idempotency_key": "first"}
    async with FaultyProxy(world.server.port).serving() as proxy, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{proxy.port}/agents/instances"
        proxy.is_dropping_replies = True
        for _ in range(3):
            with pytest.raises(httpx.TransportError):
                await http.post(url, json=body)
        proxy.is_dropping_replies = False
        told = (await http.post(url, json=body)).json()
        again = (await http.post(url, json=body | {"idempotency_key": "second"})).json()
    assert proxy.dropped == 3
    assert (told["epoch"], told["is_new"]) == (1, True)
    assert (again["epoch"], again["is_new"], again["registration_id"]) == (2, False, told["registration_id"])


async def test_the_really_dead_go_and_nobody_else(world: World) -> None:
    """The last of the module: from here on some have been evicted, rightly."""
    dead = (SOCKETS + HTTP) // 10
    began = await world.observer.now()
    world.fleet.kill(dead)
    world.observer.expected -= dead
    await until(world.observer.all_active)
    await until(lambda: _evicted(world, began, dead), 2 * DEADLINE)
    world.fleet.check()


async def _evicted(world: World, since: datetime, count: int) -> bool:
    return len(await world.observer.evictions_since(since)) >= count


def _family(pid: int) -> list[int]:
    """The postmaster and its backends, the postmaster first."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


async def _stopped(pids: list[int], seconds: float) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        await _for(seconds)
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


async def _for(seconds: float) -> None:
    """The fault itself takes time: this is what is tested, and no waiting for something."""
    await asyncio.sleep(seconds)
