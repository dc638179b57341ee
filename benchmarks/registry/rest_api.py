"""Measure registration, a registration storm and discovery over HTTP, next to the bare SQL."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator

import orjson

from benchmarks.http_load import Measurement, build_request

from .environment import CROWD_SIZE, RARE_COUNT, TENANT, Environment
from .report import Row, make_row

CLIENTS = 16
FEW_CLIENTS = 4
"""Clients that together reach 1,000 requests per second when each repeats at once."""

_REGISTER = "select registration_id from mcp.register_agent_instance($1, 'bare', $2, null, '{}', '{}', capabilities => '{search}')"
_DISCOVER = """
select i.id, i.instance_id from mcp.agent_search_terms t join mcp.agent_instances i on i.id = t.registration_id
  join mcp.agent_leases l on l.registration_id = i.id
 where t.tenant_id = $1 and t.term = 'capability:rare' and l.lapsed_at is null and l.lease_expires_at > now() order by i.id limit 50"""


class Connection:
    """An HTTP/1.1 connection with one request in flight."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> tuple[int, bytes]:
        self._writer.write(data)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head[9:12]), await self._reader.readexactly(length)


async def connect(port: int) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port))


def registration_request(agent_id: str, instance_id: str) -> bytes:
    body = {"agent_id": agent_id, "instance_id": instance_id, "capabilities": ["search"]}
    return build_request("POST", "/agents/instances", orjson.dumps(body))


async def run_at_random_moments(
    workers: list[Callable[[], Awaitable[object]]], per_second: float, seconds: float
) -> Measurement:
    """Start `per_second` calls at random moments. The time of a call includes its wait for a free worker."""
    due: asyncio.Queue[float] = asyncio.Queue()
    times: list[float] = []

    async def one(work: Callable[[], Awaitable[object]]) -> None:
        while True:
            started = await due.get()
            await work()
            times.append(time.perf_counter() - started)
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
    return Measurement.of(times, len(workers), seconds)


async def run_continuously(workers: list[Callable[[], Awaitable[object]]], seconds: float) -> Measurement:
    """Repeat each worker without a pause."""
    end = time.perf_counter() + seconds
    times: list[float] = []

    async def one(work: Callable[[], Awaitable[object]]) -> None:
        while (started := time.perf_counter()) < end:
            await work()
            times.append(time.perf_counter() - started)

    await asyncio.gather(*map(one, workers))
    return Measurement.of(times, len(workers), seconds)


async def measure_registration(environment: Environment, seconds: float) -> list[Row]:
    names = (f"i{number}" for number in itertools.count())
    connections = [await connect(environment.http_port) for _ in range(CLIENTS)]

    def over_http(connection: Connection) -> Callable[[], Awaitable[object]]:
        async def work() -> None:
            status, body = await connection.send(registration_request("http-agent", next(names)))
            if status != 201:
                raise RuntimeError(body.decode())

        return work

    await environment.database.execute("create table bare (id uuid primary key, name text, details jsonb)")
    insert = "insert into bare values (gen_random_uuid(), $1, '{}')"
    bare = await run_continuously([lambda: environment.database.execute(insert, next(names))] * CLIENTS, seconds / 2)
    sql = await run_continuously(
        [lambda: environment.database.fetchval(_REGISTER, TENANT, next(names))] * CLIENTS, seconds
    )
    await run_continuously([over_http(each) for each in connections], 2)
    before = environment.cpu_time()
    http = await run_continuously([over_http(each) for each in connections], seconds)
    cost = environment.cpu_time().describe_since(before, int(http.per_second * seconds))
    return [
        make_row("bare INSERT of one row, 16 connections", "", bare),
        make_row("the SQL function alone, 16 connections", "", sql, bare),
        make_row(
            f"register over HTTP, {CLIENTS} clients, {CROWD_SIZE:,} rows present",
            "500/s, p99 50 ms",
            http,
            sql,
            met=http.per_second >= 500 and http.p99_ms <= 50,
            cost=cost,
        ),
    ]


async def measure_storm(environment: Environment, clients: int = 64, instances: int = 50) -> list[Row]:
    """All clients register the same new instances of a new agent at once, in the same order."""
    connections = [await connect(environment.http_port) for _ in range(clients)]

    async def one(connection: Connection) -> list[tuple[int, bytes]]:
        return [await connection.send(registration_request("storm-agent", f"s{number}")) for number in range(instances)]

    started = time.perf_counter()
    answers = [each for client in await asyncio.gather(*map(one, connections)) for each in client]
    seconds = time.perf_counter() - started
    errors = sum(status not in (200, 201) for status, _ in answers)
    new = sum(orjson.loads(body).get("is_new", False) for _, body in answers)
    reached = f"{errors} errors, {new} is_new, {len(answers) / seconds:.0f}/s"
    met = errors == 0 and new == instances
    return [Row(f"register storm, {clients} x {instances}", f"0 errors, exactly {instances} is_new", reached, met)]


async def measure_discovery(environment: Environment, seconds: float) -> list[Row]:
    connections = [await connect(environment.http_port) for _ in range(CLIENTS)]
    rows: list[Row] = []
    bare = await run_continuously([lambda: environment.database.fetch(_DISCOVER, TENANT)] * FEW_CLIENTS, seconds / 2)
    rows.append(
        make_row(f"a hand-written join for a capability that {RARE_COUNT} have, {FEW_CLIENTS} connections", "", bare)
    )
    for word, limit in (("rare", 50), ("search", 10)):
        workers = list(
            _discovery_workers(connections, build_request("GET", f"/agents/instances?capability={word}&limit={limit}"))
        )
        await run_continuously(workers, 1)
        before = environment.cpu_time()
        few = await run_continuously(workers[:FEW_CLIENTS], seconds)
        cost = environment.cpu_time().describe_since(before, int(few.per_second * seconds))
        met = few.per_second >= 1000 and few.p99_ms <= 20
        what = f"discover by capability among {CROWD_SIZE:,}: {word}, {FEW_CLIENTS} clients without a pause"
        rows.append(make_row(what, "1,000/s, p99 20 ms", few, bare, met=met, cost=cost))
        rows.append(make_row(f"the same, {CLIENTS} clients", "", await run_continuously(workers, seconds)))
        rows.append(
            make_row("the same, 1,000/s at random moments", "", await run_at_random_moments(workers, 1000, seconds))
        )
    rows.append(make_row("the same, 1 client", "", await run_continuously(workers[:1], seconds / 2)))
    return rows


def _discovery_workers(connections: list[Connection], data: bytes) -> Iterator[Callable[[], Awaitable[object]]]:
    for connection in connections:

        async def work(connection: Connection = connection) -> None:
            status, body = await connection.send(data)
            if status != 200 or b'"registration_id"' not in body:
                raise RuntimeError(body.decode())

        yield work
