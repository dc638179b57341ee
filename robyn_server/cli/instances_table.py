"""Instances as a table that fits the terminal: each on one line.

Where it is too narrow, in this order: registrations are shortened to a beginning that is unique among them (which the other commands
take for the whole), what is least important is left out, and words that are still too long are cut with an ellipsis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

Instance = dict[str, Any]
Show = Callable[[Any], Text]

SHORTEST_ID = 8
GAP = 2
_CUT = 10
"""Columns that are left of agent, instance and capabilities at least."""


class Column(NamedTuple):
    """`rank`: what has the highest goes first. `is_cut`: its words may be cut."""

    name: str
    of: Callable[[Instance], Any]
    rank: int
    is_cut: bool = False


_COLUMNS = (
    Column("agent", lambda each: each["agent_id"], 0, is_cut=True),
    Column("instance", lambda each: each["instance_id"], 0, is_cut=True),
    Column("status", lambda each: each["registration_status"], 1),
    Column("health", lambda each: each["health_status"], 2),
    Column("load", lambda each: each["workload"], 4),
    Column("version", lambda each: each["version"], 6, is_cut=True),
    Column("zone", lambda each: each["zone"], 7, is_cut=True),
    Column("capabilities", lambda each: ", ".join(each["capabilities"]), 5, is_cut=True),
    Column("seen", lambda each: _ago(each["last_health_check"]), 3),
    Column("registration", lambda each: each["registration_id"], 0),
)


class _Filled(NamedTuple):
    column: Column
    cells: list[Text]

    @property
    def wide(self) -> int:
        return max(map(cell_len, (self.column.name, *(cell.plain for cell in self.cells))))

    @property
    def least(self) -> int:
        return min(self.wide, max(_CUT, cell_len(self.column.name))) if self.column.is_cut else self.wide


def instances_table(found: Sequence[Instance], width: int, show: Show, *, whole_ids: bool = False) -> Table:
    """`width`: of the terminal, in columns. `whole_ids`: registrations are never shortened."""
    rows = sorted(found, key=lambda one: (one["agent_id"], one["instance_id"]))
    filled = [_Filled(each, [show(each.of(row)) for row in rows]) for each in _COLUMNS]
    if _taken(filled) > width and not whole_ids:
        short = short_ids([row["registration_id"] for row in rows])
        filled[-1] = _Filled(_COLUMNS[-1], [show(each) for each in short])
    kept = _kept(filled, width)
    return _table(kept, _widths(kept, width))


def short_ids(ids: Sequence[str]) -> list[str]:
    """The shortest beginnings of one length that are all different."""
    length = SHORTEST_ID
    while len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return [each[:length] for each in ids]


def _kept(filled: list[_Filled], width: int) -> list[_Filled]:
    """Without what is least important, until the rest fits when it is cut."""
    kept = list(filled)
    while _taken(kept, cut=True) > width and any(each.column.rank for each in kept):
        kept.remove(max(kept, key=lambda each: each.column.rank))
    return kept


def _taken(filled: Sequence[_Filled], *, cut: bool = False) -> int:
    return sum(each.least if cut else each.wide for each in filled) + GAP * (len(filled) - 1)


def _widths(kept: Sequence[_Filled], width: int) -> list[int]:
    """What is left of the terminal goes to the columns that are cut, most evenly."""
    widths = [each.least for each in kept]
    spare = width - _taken(kept, cut=True)
    while spare > 0:
        cut = [at for at, each in enumerate(kept) if widths[at] < each.wide]
        if not cut:
            break
        widths[min(cut, key=lambda at: widths[at])] += 1
        spare -= 1
    return widths


def _table(kept: Sequence[_Filled], widths: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for each, width in zip(kept, widths, strict=True):
        table.add_column(each.column.name, width=width, no_wrap=True, overflow="ellipsis")
    for row in zip(*(each.cells for each in kept), strict=True):
        table.add_row(*row)
    return table


def _ago(text: str | None) -> str | None:
    if text is None:
        return None
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
    return f"{max(seconds, 0)} s ago" if seconds < 120 else f"{seconds // 60} min ago"  # noqa: PLR2004 - two minutes
