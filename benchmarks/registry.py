"""`python -m benchmarks.registry [--json] [--seconds N] [--minutes N] [--instances N]`: what the registry reaches, beside its targets.

Server, PostgreSQL and load share the machine; commits are durable (fsync on), heartbeats' excepted, as they are in the product.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import orjson
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from .registry_beats import batch
from .registry_http import discover, register, storm
from .registry_place import Place, place
from .registry_rows import Row, table
from .registry_sockets import live
from .registry_times import changes, deaths


async def measure_all(seconds: float, beating: float, instances: int, only: set[str]) -> list[Row]:
    """Few instances first: so many as the crowd are told to beat so slowly that their deaths take longer."""
    rows: list[Row] = []
    steps: list[tuple[str, Callable[[Place], Awaitable[list[Row]]]]] = [
        ("deaths", deaths),
        ("storm", storm),
        ("changes", changes),
        ("sockets", lambda at: live(at, instances, seconds)),
        ("crowd", _crowd),
        ("register", lambda at: register(at, seconds)),
        ("discover", lambda at: discover(at, seconds)),
        ("beats", lambda at: batch(at, beating)),
    ]
    async with place() as at:
        for name, step in steps:
            if only and name not in only:
                continue
            before = os.getloadavg()[0]
            found = await step(at)
            rows += found
            _tell(name, before, found)
    return rows


async def _crowd(at: Place) -> list[Row]:
    await at.fill()
    return []


def _tell(name: str, load: float, rows: list[Row]) -> None:
    """As it goes; the table comes at the end."""
    for each in rows:
        print(f"[{name}, load {load:.1f}] {each.work}: {each.reached}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.registry", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of most measurements")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the heartbeats")
    parser.add_argument("--instances", type=int, default=10_000, help="WebSockets")
    parser.add_argument("--only", default="", help="steps, comma separated; register, discover and beats need crowd")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the table is alone on its way
    only = set(filter(None, asked.only.split(",")))
    rows = asyncio.run(measure_all(asked.seconds, asked.minutes * 60, asked.instances, only))
    print(orjson.dumps([asdict(each) for each in rows]).decode() if asked.json else table(rows))


if __name__ == "__main__":
    main()
