"""Rows of the printed table."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.http_load import Measurement


@dataclass(frozen=True)
class Row:
    """`met`: whether the target is reached; None for a baseline without a target."""

    work: str
    target: str
    reached: str
    met: bool | None = None


def make_row(
    work: str,
    target: str,
    measured: Measurement,
    baseline: Measurement | None = None,
    met: bool | None = None,
    cost: str = "",
) -> Row:
    reached = f"{measured.per_second:,.0f}/s, p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms"
    if baseline is not None:
        reached += f"; {baseline.per_second / measured.per_second:.1f} times the cost of the line above"
    return Row(work, target, f"{reached}; {cost}" if cost else reached, met)


def percentiles(times: list[float]) -> tuple[float, float]:
    """p50 and p99, in milliseconds."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2] * 1e3, ordered[len(ordered) * 99 // 100] * 1e3


def table(rows: list[Row]) -> str:
    lines = ["| work | target | reached | |", "|---|---|---|---|"]
    for each in rows:
        verdict = {True: "met", False: "**missed**", None: ""}[each.met]
        lines.append(f"| {each.work} | {each.target} | {each.reached} | {verdict} |")
    return "\n".join(lines)
