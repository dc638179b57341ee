"""Benchmarks: ratios against a baseline of the same run. `make bench` runs the first of them. They are not tests."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for folder in ("tests", "tests/support", "clients/python"):
    sys.path.insert(0, str(ROOT / folder))

from servers import forked_process  # noqa: E402

forked_process.is_enabled = (
    False  # a fork shares its memory with the process that it comes from, and starts in a moment
)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users' processes do not compile all modules at each start
