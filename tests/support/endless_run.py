"""The body of a run that counts for longer than any test waits."""

from __future__ import annotations

from typing import Any

ENDLESS: dict[str, Any] = {
    "assistant_id": "counter",
    "input": {"until": 5000, "delay": 0.02},
    "config": {"recursion_limit": 9999},
}
