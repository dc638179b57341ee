"""Output of `agenthall sync`: a progress bar, a table of changes, the counters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from robyn_server.agent_sync.live.progress import Progress as SyncProgress
    from robyn_server.agent_sync.reports import SyncReport
    from robyn_server.core.catalogue.agent_change import AgentChange

_WIDE = 200
"""Columns without a terminal: nothing should be folded for programs."""

_COLOURS = {"created": "green", "updated": "cyan", "failed": "bold red", "retired": "yellow"}


class _NoBar:
    def expect(self, total: int) -> None: ...
    def reached(self, done: int) -> None: ...


class _TerminalBar:
    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)
        self._total = 0

    def expect(self, total: int) -> None:
        self._total = total
        self._progress.update(self._task, total=total)

    def reached(self, done: int) -> None:
        """Update the bar.

        There may be more than expected: agents were added meanwhile, or another replica syncs some, too.
        """
        self._total = max(self._total, done)
        self._progress.update(self._task, total=self._total, completed=done)


@contextmanager
def progress_bar(what: str = "agents") -> Iterator[SyncProgress]:
    """Show a bar that counts `what` on standard error, only in a terminal, until the work is done."""
    if not sys.stderr.isatty():
        yield _NoBar()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _TerminalBar(progress, what)


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
