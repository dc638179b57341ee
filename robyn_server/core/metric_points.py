"""Minutes of metrics, and the points that a plot of an hour or a day draws from them.

Rules
  1. A minute in which no process wrote a row is a gap. A step without any minute has no point: it is not zero.
  2. Counts of a step are sums. Numbers of a moment, such as pending runs, are those of the last minute.
  3. A minute holds the seconds of its runs in order, or as 101 percentiles. A percentile of a step is the lowest value
     that this share of the step's runs does not exceed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any

MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(StrEnum):
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        return timedelta(hours=1) if self is Window.HOUR else timedelta(hours=24)

    @property
    def step(self) -> timedelta:
        return MINUTE if self is Window.HOUR else timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Minute:
    """`ran`, `waited`: seconds of the runs that ended in the minute, in order. `instances`: by their health."""

    at: datetime
    runs_created: int
    runs_succeeded: int
    runs_failed: int
    runs_interrupted: int
    runs_cancelled: int
    ran: Sequence[float]
    waited: Sequence[float]
    runs_pending: int
    runs_running: int
    open_streams: int
    instances: Mapping[str, int]
    jobs_queued: int
    jobs_running: int

    @property
    def runs_ended(self) -> int:
        return self.runs_succeeded + self.runs_failed + self.runs_interrupted + self.runs_cancelled


_SUMS = ("runs_created", "runs_succeeded", "runs_failed", "runs_interrupted", "runs_cancelled")
_LAST = ("runs_pending", "runs_running", "open_streams", "instances", "jobs_queued", "jobs_running")


def step_of(at: datetime, step: timedelta) -> datetime:
    """The begin of the step that `at` lies in."""
    return _EPOCH + (at - _EPOCH) // step * step


def points(minutes: Sequence[Minute], step: timedelta) -> list[dict[str, Any]]:
    """Combine minutes, the oldest first, into one point for each step that has any."""
    grouped = groupby(minutes, key=lambda minute: step_of(minute.at, step))
    return [_point(at, list(of_step)) for at, of_step in grouped]


def _point(at: datetime, minutes: Sequence[Minute]) -> dict[str, Any]:
    ran = list(_weighted((minute.ran, minute.runs_ended) for minute in minutes))
    waited = list(_weighted((minute.waited, minute.runs_ended) for minute in minutes))
    return {
        "at": at.isoformat(),
        "minutes": len(minutes),
        **{name: sum(getattr(minute, name) for minute in minutes) for name in _SUMS},
        "run_seconds_p50": percentile(ran, 0.5),
        "run_seconds_p95": percentile(ran, 0.95),
        "wait_seconds_p50": percentile(waited, 0.5),
        "wait_seconds_p95": percentile(waited, 0.95),
        **{name: getattr(minutes[-1], name) for name in _LAST},
    }


def _weighted(values: Iterator[tuple[Sequence[float], int]]) -> Iterator[tuple[float, float]]:
    """Each value with the number of runs that it stands for."""
    for seconds, runs in values:
        weight = max(1.0, runs / len(seconds)) if seconds else 0.0
        yield from ((value, weight) for value in seconds)


def percentile(weighted: Sequence[tuple[float, float]], share: float) -> float | None:
    """The lowest value that `share` of the weight does not exceed; None without values."""
    needed, passed = share * sum(weight for _, weight in weighted), 0.0
    for value, weight in sorted(weighted):
        passed += weight
        if passed >= needed:
            return round(value, 3)
    return None
