"""How much of a generated test is run: a sample, or with AGENTHALL_TEST_LONG=1 the whole."""

from __future__ import annotations

import os


def times(sample: int, *, long: int) -> int:
    return long if os.environ.get("AGENTHALL_TEST_LONG") else sample
