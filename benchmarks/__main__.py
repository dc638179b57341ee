"""`python -m benchmarks [--seconds N] [--json]`: compare requests with the edge alone, and runs with the graph
alone."""

from __future__ import annotations

import argparse
import asyncio

import orjson

from .speed import measure_all, table


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = asyncio.run(measure_all(arguments.seconds))
    print(orjson.dumps(results).decode() if arguments.json else table(results))


main()
