"""Rows of the table that is printed."""

from __future__ import annotations

from dataclasses import dataclass

from .load import Measured


@dataclass(frozen=True)
class Row:
    """`met` None: not a target, but what it is measured by."""

    work: str
    target: str
    reached: str
    met: bool | None = None


def row(
    work: str,
    target: str,
    measured: Measured,
    base: Measured | None = None,
    met: bool | None = None,
    cost: str = "",
) -> Row:
    reached = f"{measured.per_second:,.0f}/s, p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms"
    if base is not None:
        reached += f"; {base.per_second / measured.per_second:.1f} times the cost of the line above"
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
