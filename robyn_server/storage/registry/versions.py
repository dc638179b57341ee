"""Ranges of versions as parameters of statements."""

from __future__ import annotations

from typing import Any

from robyn_server.core.registry.version_range import VersionRange


def range_parameters(versions: VersionRange) -> dict[str, Any]:
    """`low`, `low_inclusive`, `high` and `high_inclusive`; the ends are None where the range is open."""
    low, high = versions.low, versions.high
    return {
        "low": None if low is None else low.text,
        "low_inclusive": low is not None and low.inclusive,
        "high": None if high is None else high.text,
        "high_inclusive": high is not None and high.inclusive,
    }
