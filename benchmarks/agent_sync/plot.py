"""Plot time and memory by size as SVG: two panels with logarithmic axes. Needs no plotting library."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, GAP = 420, 300, 70, 40, 110
TIMES = {
    "naive_s": ("naive", "#b3261e"),
    "naive_pooled_s": ("naive, pooled", "#e08a00"),
    "cold_s": ("cold", "#1a5fb4"),
    "bare_insert_s": ("bare INSERT", "#77767b"),
    "unchanged_s": ("unchanged", "#26803b"),
    "read_s": ("reading once", "#9a6fc4"),
}
MEMORY = {"peak_memory_mb": ("one process", "#1a5fb4")}


def plot(results: list[dict[str, Any]]) -> str:
    """Return the SVG."""
    panels = [
        _panel(results, TIMES, "seconds", LEFT),
        _panel(results, MEMORY, "peak memory, MB", LEFT + WIDTH + GAP + LEFT),
    ]
    width, height = 2 * (LEFT + WIDTH + GAP), HEIGHT + TOP + 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(panels) + "\n</svg>\n"
    )


def _panel(results: list[dict[str, Any]], series: dict[str, tuple[str, str]], title: str, left: float) -> str:
    across = _Scale([each["agents"] for each in results], left, left + WIDTH)
    up = _Scale([each[name] for name in series for each in results], TOP + HEIGHT, TOP)
    parts = [f'<text x="{left}" y="{TOP - 16}" font-weight="bold">{title}</text>']
    parts += [
        _rule(left, up(tick), left + WIDTH, up(tick), f"{tick:g}", left - 8, up(tick) + 4, "end") for tick in up.ticks
    ]
    bottom = TOP + HEIGHT
    parts += [
        _rule(across(tick), TOP, across(tick), bottom, f"{tick:,.0f}", across(tick), bottom + 20, "middle")
        for tick in across.ticks
    ]
    parts.append(f'<text x="{left + WIDTH / 2}" y="{bottom + 42}" text-anchor="middle">agents</text>')
    ends = _spread_labels([up(results[-1][name]) for name in series])
    for (name, (label, colour)), end in zip(series.items(), ends, strict=True):
        points = [(across(each["agents"]), up(each[name])) for each in results]
        parts.append(_line(points, label, colour, end))
    return "\n".join(parts)


class _Scale:
    """A logarithmic axis around `values`, drawn from `start` to `end`."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        low, high = floor(log10(min(values))), ceil(log10(max(values)))
        self._low, self._high = low, max(high, low + 1)
        self._start, self._end = start, end
        self.ticks = [10.0**power for power in range(self._low, self._high + 1)]

    def __call__(self, value: float) -> float:
        share = (log10(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def _spread_labels(heights: list[float], distance: float = 15) -> list[float]:
    """Positions for labels near `heights` without overlap."""
    placed, last = dict[int, float](), float("-inf")
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        last = placed[index] = max(heights[index], last + distance)
    return [placed[index] for index in range(len(heights))]


def _rule(x1: float, y1: float, x2: float, y2: float, label: str, x: float, y: float, anchor: str) -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#ddd"/>'
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#555">{label}</text>'
    )


def _line(points: list[tuple[float, float]], label: str, colour: str, label_y: float) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'
        f'<text x="{points[-1][0] + 10}" y="{label_y + 4}" fill="{colour}">{label}</text>'
    )
