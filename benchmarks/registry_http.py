"""The registry over HTTP: registering, a storm of it, discovering; beside the bare SQL."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator

import orjson

from .load import Measured, request
from .registry_place import CROWD, RARE, TENANT, Place
from .registry_rows import Row, percentiles, row

CLIENTS = 16
FEW = 4
"""As many as ask for 1,000 a second when each asks again at once."""

_REGISTER = "select registration_id from mcp.register_agent_instance($1, 'bare', $2, null, '{}', '{}', capabilities => '{search}')"
_DISCOVER = """
select i.id, i.instance_id from mcp.agent_terms t join mcp.agent_instances i on i.id = t.registration_id
  join mcp.agent_leases l on l.registration_id = i.id
 where t.tenant_id = $1 and t.term = 'capability:rare' and l.lapsed_at is null and l.lease_expires_at > now() order by i.id limit 50"""


class Connection:
    """HTTP/1.1, one request in flight."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> tuple[int, bytes]:
        self._writer.write(data)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head[9:12]), await self._reader.readexactly(length)


async def connected(port: int) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port))


def registering(agent_id: str, instance_id: str) -> bytes:
    body = {"agent_id": agent_id, "instance_id": instance_id, "capabilities": ["search"]}
    return request("POST", "/agents/instances", orjson.dumps(body))


async def offered(workers: list[Callable[[], Awaitable[object]]], per_second: float, seconds: float) -> Measured:
    """So many begin in each second, at random moments, whoever is free works; the time is from that moment, waiting included."""
    due: asyncio.Queue[float] = asyncio.Queue()
    times: list[float] = []

    async def one(work: Callable[[], Awaitable[object]]) -> None:
        while True:
            began = await due.get()
            await work()
            times.append(time.perf_counter() - began)
            due.task_done()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(work)) for work in workers]
        moment = time.perf_counter()
        end = moment + seconds
        while (moment := moment + random.expovariate(per_second)) < end:
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            due.put_nowait(moment)
        await due.join()
        for task in tasks:
            task.cancel()
    p50, p99 = percentiles(times)
    return Measured(len(workers), len(times) / seconds, p50, p99)


async def timed(workers: list[Callable[[], Awaitable[object]]], seconds: float) -> Measured:
    """Each worker over and over, one at a time."""
    end = time.perf_counter() + seconds
    times: list[float] = []

    async def one(work: Callable[[], Awaitable[object]]) -> None:
        while (began := time.perf_counter()) < end:
            await work()
            times.append(time.perf_counter() - began)

    await asyncio.gather(*map(one, workers))
    times.sort()
    return Measured(
        len(workers), len(times) / seconds, times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
    )


async def register(place: Place, seconds: float) -> list[Row]:
    names = (f"i{number}" for number in itertools.count())
    connections = [await connected(place.http_port) for _ in range(CLIENTS)]

    def over_http(connection: Connection) -> Callable[[], Awaitable[object]]:
        async def work() -> None:
            status, body = await connection.send(registering("http-agent", next(names)))
            if status != 201:
                raise RuntimeError(body.decode())

        return work

    await place.database.execute("create table bare (id uuid primary key, name text, details jsonb)")
    insert = "insert into bare values (gen_random_uuid(), $1, '{}')"
    bare = await timed([lambda: place.database.execute(insert, next(names))] * CLIENTS, seconds / 2)
    sql = await timed([lambda: place.database.fetchval(_REGISTER, TENANT, next(names))] * CLIENTS, seconds)
    await timed([over_http(each) for each in connections], 2)
    before = place.cpu()
    http = await timed([over_http(each) for each in connections], seconds)
    cost = place.cpu().since(before, int(http.per_second * seconds))
    return [
        row("bare INSERT of one row, 16 connections", "", bare),
        row("the SQL function alone, 16 connections", "", sql, bare),
        row(
            f"register over HTTP, {CLIENTS} clients, {CROWD:,} rows present",
            "500/s, p99 50 ms",
            http,
            sql,
            met=http.per_second >= 500 and http.p99_ms <= 50,
            cost=cost,
        ),
    ]


async def storm(place: Place, clients: int = 64, instances: int = 50) -> list[Row]:
    """All clients register the same new instances of one new agent, in the same order, at once."""
    connections = [await connected(place.http_port) for _ in range(clients)]

    async def one(connection: Connection) -> list[tuple[int, bytes]]:
        return [await connection.send(registering("storm-agent", f"s{number}")) for number in range(instances)]

    began = time.perf_counter()
    answers = [each for client in await asyncio.gather(*map(one, connections)) for each in client]
    seconds = time.perf_counter() - began
    errors = sum(status not in (200, 201) for status, _ in answers)
    new = sum(orjson.loads(body).get("is_new", False) for _, body in answers)
    reached = f"{errors} errors, {new} is_new, {len(answers) / seconds:.0f}/s"
    met = errors == 0 and new == instances
    return [Row(f"register storm, {clients} x {instances}", f"0 errors, exactly {instances} is_new", reached, met)]


async def discover(place: Place, seconds: float) -> list[Row]:
    connections = [await connected(place.http_port) for _ in range(CLIENTS)]
    rows: list[Row] = []
    bare = await timed([lambda: place.database.fetch(_DISCOVER, TENANT)] * FEW, seconds / 2)
    rows.append(row(f"the join by hand for a capability that {RARE} have, {FEW} connections", "", bare))
    for word, limit in (("rare", 50), ("search", 10)):
        workers = list(_asking(connections, request("GET", f"/agents/instances?capability={word}&limit={limit}")))
        await timed(workers, 1)
        before = place.cpu()
        few = await timed(workers[:FEW], seconds)
        cost = place.cpu().since(before, int(few.per_second * seconds))
        met = few.per_second >= 1000 and few.p99_ms <= 20
        what = f"discover by capability among {CROWD:,}: {word}, {FEW} clients without a pause"
        rows.append(row(what, "1,000/s, p99 20 ms", few, bare, met=met, cost=cost))
        rows.append(row(f"the same, {CLIENTS} clients", "", await timed(workers, seconds)))
        rows.append(row("the same, 1,000/s asked at random moments", "", await offered(workers, 1000, seconds)))
    rows.append(row("the same, 1 client", "", await timed(workers[:1], seconds / 2)))
    return rows


def _asking(connections: list[Connection], asked: bytes) -> Iterator[Callable[[], Awaitable[object]]]:
    for connection in connections:

        async def work(connection: Connection = connection) -> None:
            status, body = await connection.send(asked)
            if status != 200 or b'"registration_id"' not in body:
                raise RuntimeError(body.decode())

        yield work
