"""What `agenthall sync` shows: a bar while it works, a table of what changed, the counters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from robyn_server.core.agent_change import AgentChange
    from robyn_server.services.agent_sync import SyncReport

_WIDE = 200
"""Columns where there is no terminal to ask: nothing that is read by programs should be folded."""

_COLOURS = {"created": "green", "updated": "cyan", "failed": "bold red", "retired": "yellow"}


class Bar(Protocol):
    def expect(self, total: int) -> None: ...
    def reached(self, done: int) -> None: ...


class _Silent:
    def expect(self, total: int) -> None: ...
    def reached(self, done: int) -> None: ...


class _Shown:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("agents", total=None)
        self._total = 0

    def expect(self, total: int) -> None:
        self._total = total
        self._progress.update(self._task, total=total)

    def reached(self, done: int) -> None:
        """More than expected: agents came meanwhile, or another replica looks at some too."""
        self._total = max(self._total, done)
        self._progress.update(self._task, total=self._total, completed=done)


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """On standard error, and only on a terminal; it is gone when the work is done."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Shown(progress)


def show(report: SyncReport) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False, soft_wrap=False)
    if report.changes:
        console.print(_table(report.changes))
    if report.more:
        console.print(f"… and {report.more} more", markup=False)
    console.print(_summary(report), markup=False)


def _table(changes: list[AgentChange]) -> Table:
    from rich import box
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("agent", no_wrap=True)
    for heading in ("name", "action", "what"):
        table.add_column(heading, overflow="fold")
    for change in changes:
        what = change.reason or ", ".join(change.fields)
        action = Text(change.action, style=_COLOURS.get(change.action, ""))
        table.add_row(str(change.agent_id), Text(change.name or "–"), action, Text(what))
    return table


def _summary(report: SyncReport) -> str:
    counted = ", ".join(f"{number} {name}" for name, number in report.counters.items() if name != "total")
    of = f"agent {report.agent_id}" if report.agent_id else f"scope {report.scope}"
    would = "would be: " if report.dry_run else ""
    return f"{of}: {report.counters['total']} agents; {would}{counted} ({report.seconds:.2f} s)"
