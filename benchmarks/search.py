"""`python -m benchmarks.search [--rows N …] [--clients N] [--seconds N] [--json]`: search pages of 10 among few and
many rows."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from typing import Any

import asyncpg
import orjson
from databases import fresh_database, make_template, postgres_server
from servers.live_server import LiveServer, live_server

from .http_load import build_request, measure

TARGET = 2_000
ROWS = (1_000, 100_000, 1_000_000)

# Rows 100, 500 and 900 are rare.
_FILL = """
insert into agenthall.threads (thread_id, owner_id, status, metadata, "values", created_at, updated_at)
select lpad(to_hex(n), 32, '0')::uuid, 'local', case when rare then 'interrupted' else 'idle' end,
       jsonb_build_object('graph_id', 'echo', 'user', n % 1000, 'number', n, 'half', n % 2)
         || case when rare then '{"rare": "yes"}' else '{}' end::jsonb,
       jsonb_build_object('topic', case when rare then 'rare' else 'common' end),
       now() - n * interval '1 s', now() - (n * 7919 % ROWS) * interval '1 s'
  from (select n, n in (100, 500, 900) as rare from generate_series(1, ROWS::bigint) n) as numbered;
insert into agenthall.assistants (assistant_id, graph_id, name, metadata, owner_id, visibility, created_at)
select lpad(to_hex(n), 32, '0')::uuid, 'echo', case when rare then 'Zebra ' else 'Assistant number ' end || n,
       jsonb_build_object('user', n % 1000, 'number', n, 'half', n % 2)
         || case when rare then '{"rare": "yes"}' else '{}' end::jsonb,
       'local', 'private', now() - n * interval '1 s'
  from (select n, n in (100, 500, 900) as rare from generate_series(1, ROWS::bigint) n) as numbered;
"""

SEARCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "threads": ("/threads/search", {}),
    "threads by status": ("/threads/search", {"status": "idle"}),
    "threads by a rare status": ("/threads/search", {"status": "interrupted"}),
    "threads by metadata of half of them": ("/threads/search", {"metadata": {"half": 1}}),
    "threads by metadata of a thousandth": ("/threads/search", {"metadata": {"user": 7}}),
    "threads by metadata of one": ("/threads/search", {"metadata": {"number": 500}}),
    "threads by rare metadata and status": ("/threads/search", {"metadata": {"rare": "yes"}, "status": "interrupted"}),
    "threads by a rare value": ("/threads/search", {"values": {"topic": "rare"}}),
    "threads, row 1,000 and on": ("/threads/search", {"offset": 990}),
    "assistants": ("/assistants/search", {}),
    "assistants by graph": ("/assistants/search", {"graph_id": "echo"}),
    "assistants by name": ("/assistants/search", {"sort_by": "name"}),
    "assistants by a rare part of the name": ("/assistants/search", {"name": "zebra"}),
    "assistants by metadata of one": ("/assistants/search", {"metadata": {"number": 500}}),
}


async def measure_all(row_counts: list[int], clients: int, seconds: float) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    with postgres_server() as postgres:
        template = await make_template(postgres)
        for rows in row_counts:
            async with fresh_database(postgres, template) as url:
                await _fill(url, rows)
                async with live_server(url, AGENTHALL_LOG_LEVEL="WARNING") as server:
                    results += await _measure(server, rows, clients, seconds)
    return results


async def _fill(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_FILL.replace("ROWS", str(rows)))
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def _measure(server: LiveServer, rows: int, clients: int, seconds: float) -> list[dict[str, Any]]:
    found = []
    for what, (path, body) in SEARCHES.items():
        request = build_request("POST", path, orjson.dumps(body))
        await measure(server.port, request, clients, 0.5)  # warm up: each connection makes its plans
        found.append({"what": what, "rows": rows, **asdict(await measure(server.port, request, clients, seconds))})
    return found


def table(results: list[dict[str, Any]]) -> str:
    lines = [f"{'what':42}{'rows':>11}{'clients':>9}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}  target {TARGET}/s"]
    lines += [
        f"{each['what']:42}{each['rows']:>11,}{each['clients']:>9}{each['per_second']:>12.0f}{each['p50_ms']:>9.2f}"
        f"{each['p99_ms']:>9.2f}  {'met' if each['per_second'] >= TARGET else 'missed'}"
        for each in results
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.search", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = asyncio.run(measure_all(arguments.rows, arguments.clients, arguments.seconds))
    print(orjson.dumps(results).decode() if arguments.json else table(results))


if __name__ == "__main__":
    main()
