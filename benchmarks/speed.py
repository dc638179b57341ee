"""Compare GET of an assistant with the edge alone, and a stateless `runs.wait` with the graph called directly."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import asdict
from typing import Any

import orjson
from databases import fresh_database, make_template, postgres_server
from served.sample_graphs import echo
from servers.live_server import LiveServer, live_server

from robyn_server.core.ids import default_assistant_id

from .http_load import Measurement, build_request, measure

CLIENTS = (1, 16)


async def measure_all(seconds: float) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    with postgres_server() as postgres:
        template = await make_template(postgres)
        for pinned in (False, True):
            extra = {"AGENTHALL_WEB_CPU": "0"} if pinned and (os.cpu_count() or 1) > 1 else {}
            async with (
                fresh_database(postgres, template) as url,
                live_server(url, AGENTHALL_LOG_LEVEL="WARNING", **extra) as server,
            ):
                results += await _measure(server, seconds, pinned=pinned)
    return results


async def _measure(server: LiveServer, seconds: float, *, pinned: bool) -> list[dict[str, Any]]:
    edge = build_request("GET", "/livez")
    assistant = build_request("GET", f"/assistants/{default_assistant_id('echo')}")
    wait = build_request("POST", "/runs/wait", orjson.dumps({"assistant_id": "echo", "input": {"text": "hello"}}))
    await measure(server.port, wait, 1, 4.0)  # warm up: imports and connections
    rows = []
    for clients in CLIENTS:
        base = await measure(server.port, edge, clients, seconds)
        rows.append(_row("edge alone (GET /livez)", base, None, pinned))
        rows.append(_row("GET assistant", await measure(server.port, assistant, clients, seconds), base, pinned))
        direct = await _direct(clients, seconds)
        rows.append(_row("graph called directly", direct, None, pinned))
        rows.append(_row("stateless runs.wait", await measure(server.port, wait, clients, seconds), direct, pinned))
    return rows


async def _direct(clients: int, seconds: float) -> Measurement:
    """Run the same graph in this process, without a server: the cost of LangGraph alone."""
    end = time.perf_counter() + seconds

    async def client() -> list[float]:
        times = []
        while (started := time.perf_counter()) < end:
            await echo.ainvoke({"text": "hello"})
            times.append(time.perf_counter() - started)
        return times

    durations = [each for client in await asyncio.gather(*(client() for _ in range(clients))) for each in client]
    return Measurement.of(durations, clients, seconds)


def _row(name: str, measured: Measurement, base: Measurement | None, pinned: bool) -> dict[str, Any]:
    ratio = None if base is None else round(base.per_second / measured.per_second, 2)
    return {"what": name, "web_pinned": pinned, **asdict(measured), "times_slower_than_baseline": ratio}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'what':28}{'web pinned':>11}{'clients':>9}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}{'x baseline':>12}"
    ]
    for row in rows:
        ratio = row["times_slower_than_baseline"]
        lines.append(
            f"{row['what']:28}{row['web_pinned']!s:>11}{row['clients']:>9}{row['per_second']:>12.0f}"
            f"{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{'' if ratio is None else ratio:>12}"
        )
    return "\n".join(lines)
