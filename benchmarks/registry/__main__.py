"""`python -m benchmarks.registry [--json] [--seconds N] [--minutes N] [--instances N]`: measure the agent registry.

The table that it prints names the target of each measurement.

Server, PostgreSQL and load share the machine. Commits are durable (fsync on), except those of heartbeats, as in
production.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict

import orjson
import structlog

from .environment import Environment, open_environment
from .heartbeats import measure_heartbeats
from .live_sockets import measure_live_sockets
from .propagation import measure_changes, measure_deaths
from .report import Row, table
from .rest_api import measure_discovery, measure_registration, measure_storm


async def measure_all(seconds: float, heartbeat_seconds: float, instances: int, only: set[str]) -> list[Row]:
    # Steps with few instances come first: many instances lengthen the heartbeat interval, and so the detection of
    # deaths.
    rows: list[Row] = []
    steps: list[tuple[str, Callable[[Environment], Awaitable[list[Row]]]]] = [
        ("deaths", measure_deaths),
        ("storm", measure_storm),
        ("changes", measure_changes),
        ("sockets", lambda environment: measure_live_sockets(environment, instances, seconds)),
        ("crowd", _fill),
        ("register", lambda environment: measure_registration(environment, seconds)),
        ("discover", lambda environment: measure_discovery(environment, seconds)),
        ("beats", lambda environment: measure_heartbeats(environment, heartbeat_seconds)),
    ]
    async with open_environment() as environment:
        for name, step in steps:
            if only and name not in only:
                continue
            before = os.getloadavg()[0]
            found = await step(environment)
            rows += found
            _print_progress(name, before, found)
    return rows


async def _fill(environment: Environment) -> list[Row]:
    await environment.fill()
    return []


def _print_progress(name: str, load: float, rows: list[Row]) -> None:
    for each in rows:
        print(f"[{name}, load {load:.1f}] {each.work}: {each.reached}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.registry", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of most measurements")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the heartbeat measurement")
    parser.add_argument("--instances", type=int, default=10_000, help="WebSockets")
    parser.add_argument("--only", default="", help="steps, comma separated; register, discover and beats need crowd")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # keep logs out of the printed table
    only = set(filter(None, arguments.only.split(",")))
    rows = asyncio.run(measure_all(arguments.seconds, arguments.minutes * 60, arguments.instances, only))
    print(orjson.dumps([asdict(each) for each in rows]).decode() if arguments.json else table(rows))


if __name__ == "__main__":
    main()
