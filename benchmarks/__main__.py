"""`python -m benchmarks [--seconds N] [--json]`: what a request and a run cost, beside what the edge and the graph cost alone."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from .speed import measure_all, table


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    results = asyncio.run(measure_all(asked.seconds))
    print(orjson.dumps(results).decode() if asked.json else table(results))


main()
