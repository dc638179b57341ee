"""Tables of assistants, threads and runs, and the fields of one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from robyn_server.terminal import printable

_WIDE = 240
"""Columns without a terminal: programs should get whole values."""

_STYLES = {
    "success": "green",
    "idle": "green",
    "running": "cyan",
    "busy": "cyan",
    "pending": "dim",
    "interrupted": "yellow",
    "error": "red",
    "timeout": "red",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Column(NamedTuple):
    """`from_width`: the narrowest terminal that has the column. `is_cut`: it is cut to fit."""

    name: str
    value: Callable[[dict[str, Any]], Any]
    from_width: int = 0
    is_cut: bool = False


def as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def resource_table(columns: Sequence[Column], rows: Iterable[dict[str, Any]], none: str) -> str:
    """Return a table that fits the terminal, or `none` without rows. Without a terminal, nothing is cut."""
    found = list(rows)
    if not found:
        return f"{none}\n"
    console = _console()
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    shown = [column for column in columns if column.from_width <= console.width]
    for column in shown:
        table.add_column(column.name, no_wrap=True, overflow="ellipsis", min_width=None if column.is_cut else 1)
    for row in found:
        table.add_row(*(_cell(column.value(row)) for column in shown))
    return _printed(console, table)


def fields_table(fields: Iterable[tuple[str, Any]]) -> str:
    """Return one line for each field. Fields without a value are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in fields:
        if value not in (None, "", [], {}):
            table.add_row(name, _cell(value))
    return _printed(_console(), table)


def ago(text: str | None) -> str | None:
    """Return how long ago an ISO 8601 time was."""
    if text is None:
        return None
    seconds = max(int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()), 0)
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} s ago"


def seconds_between(start: str, end: str) -> str:
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.1f} s"


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)


def _printed(console: Console, table: Table) -> str:
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _cell(value: Any) -> Text:
    if value in (None, "", [], {}):
        return Text("–", style="dim")
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return Text(printable(text), style=_STYLES.get(text, ""))
