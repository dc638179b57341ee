"""Instances as a table: one line each.

In a narrow terminal, columns are left out, ids of registrations are shortened to a unique beginning, and long words are
cut. Other commands accept the short id in place of the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Instance = dict[str, Any]
Render = Callable[[Any], Text]

SHORTEST_ID = 8
_SHORT = 10
"""Columns up to this width are never cut."""


class _Column(NamedTuple):
    """`from_width`: the narrowest terminal that has the column.

    `ratio`: its share of the space that flexible columns share.
    """

    name: str
    value: Callable[[Instance], Any]
    from_width: int = 0
    ratio: int | None = None


def _status(instance: Instance) -> str:
    status = str(instance["registration_status"])
    return "cordoned" if status == "active" and instance.get("cordoned_at") else status


_COLUMNS = (
    _Column("agent", lambda each: each["agent_id"], ratio=2),
    _Column("instance", lambda each: each["instance_id"], ratio=2),
    _Column("status", _status, 50),
    _Column("health", lambda each: each["health_status"], 60),
    _Column("load", lambda each: each["workload"], 80),
    _Column("version", lambda each: each["version"], 120, ratio=1),
    _Column("zone", lambda each: each["zone"], 120, ratio=1),
    _Column("capabilities", lambda each: ", ".join(each["capabilities"]), 120, ratio=2),
    _Column("seen", lambda each: _ago(each["last_health_check"]), 80),
)


def instances_table(found: Sequence[Instance], console: Console, render: Render) -> Table:
    """Return a table that fits the console."""
    rows = sorted(found, key=lambda one: (one["agent_id"], one["instance_id"]))
    ids = [row["registration_id"] for row in rows]
    table = _table(_COLUMNS, rows, ids, render)
    if Measurement.get(console, console.options.update(max_width=sys.maxsize), table).maximum <= console.width:
        return table
    columns = [each for each in _COLUMNS if each.from_width <= console.width]
    table = _table(columns, rows, short_ids(ids), render)
    table.expand = True  # makes rich share the width by the columns' ratios
    return table


def _table(columns: Sequence[_Column], rows: Sequence[Instance], ids: Sequence[str], render: Render) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        is_short = max(cell_len(render(column.value(row)).plain) for row in rows) <= _SHORT
        table.add_column(column.name, ratio=None if is_short else column.ratio, no_wrap=True, overflow="ellipsis")
    table.add_column("registration", no_wrap=True)
    for row, registration in zip(rows, ids, strict=True):
        table.add_row(*(render(column.value(row)) for column in columns), render(registration))
    return table


def short_ids(ids: Sequence[str]) -> list[str]:
    """Return the shortest beginnings, all of one length, that are unique."""
    length = SHORTEST_ID
    while len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return [each[:length] for each in ids]


def _ago(text: str | None) -> str | None:
    if text is None:
        return None
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
    return f"{max(seconds, 0)} s ago" if seconds < 120 else f"{seconds // 60} min ago"  # noqa: PLR2004 - two minutes
