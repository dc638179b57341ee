"""Points of a plot: sums, last values and percentiles of minutes, and gaps where there are no minutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from robyn_server.core.metric_points import MINUTE, Minute, Window, percentile, points, step_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def minute(number: int, *, ran: Sequence[float] = (), ended: int | None = None, pending: int = 0) -> Minute:
    """The minute `number` after noon."""
    runs = len(ran) if ended is None else ended
    return Minute(NOON + number * MINUTE, runs, runs, 0, 0, 0, ran, ran, pending, 0, 0, {"healthy": number}, 0, 0)


def test_a_minute_is_a_point_of_an_hour() -> None:
    (point,) = points([minute(0, ran=[1.0, 2.0, 3.0], pending=7)], Window.HOUR.step)
    assert (point["at"], point["minutes"], point["runs_succeeded"]) == (NOON.isoformat(), 1, 3)
    assert (point["run_seconds_p50"], point["run_seconds_p95"], point["runs_pending"]) == (2.0, 3.0, 7)


def test_a_quarter_of_an_hour_sums_counts_and_has_the_moment_of_its_last_minute() -> None:
    first, second = points([minute(n, ran=[float(n)], pending=n) for n in range(16)], Window.DAY.step)
    assert (first["runs_created"], first["minutes"], first["runs_pending"]) == (15, 15, 14)
    assert first["instances"] == {"healthy": 14}
    assert (first["run_seconds_p50"], first["run_seconds_p95"]) == (7.0, 14.0)
    assert (second["at"], second["minutes"]) == ((NOON + timedelta(minutes=15)).isoformat(), 1)


def test_a_step_without_a_minute_is_a_gap_and_no_zero() -> None:
    assert [point["at"] for point in points([minute(0), minute(45)], Window.DAY.step)] == [
        NOON.isoformat(),
        (NOON + timedelta(minutes=45)).isoformat(),
    ]
    assert points([], Window.DAY.step) == []


def test_a_minute_without_an_ended_run_has_no_percentiles() -> None:
    (point,) = points([minute(0)], MINUTE)
    assert point["run_seconds_p50"] is point["wait_seconds_p95"] is None


def test_a_minute_with_many_runs_weighs_more_than_one_with_few() -> None:
    percentiles = [1.0] * 101
    (point,) = points([minute(0, ran=percentiles, ended=10_000), minute(1, ran=[9.0] * 100)], Window.DAY.step)
    assert (point["run_seconds_p50"], point["run_seconds_p95"]) == (1.0, 1.0)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.51, 3.0), (1.0, 4.0)])
def test_a_percentile_is_the_lowest_value_that_the_share_does_not_exceed(share: float, expected: float) -> None:
    assert percentile([(value, 1.0) for value in (4.0, 3.0, 2.0, 1.0)], share) == expected


def test_steps_begin_at_full_quarters_of_an_hour() -> None:
    assert step_of(NOON + timedelta(minutes=29, seconds=59), Window.DAY.step) == NOON + timedelta(minutes=15)
