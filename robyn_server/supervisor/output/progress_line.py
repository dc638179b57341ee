"""A progress bar on the last line of a terminal, for work before anything is logged. Without a terminal, it writes
nothing.

It uses no library and no thread: the supervisor stays small and has one thread.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from robyn_server.terminal import has_colour

_COLUMNS = 30
_MARGIN = 8
"""Columns for spaces and the percentage."""


class OnProgress(Protocol):
    """`share`: the part of the work that is done, from 0 to 1."""

    def __call__(self, what: str, share: float) -> None: ...


def no_progress(what: str, share: float) -> None:
    """Ignore progress."""


@contextmanager
def progress_line(stream: TextIO | None = None) -> Iterator[OnProgress]:
    """Yield a function that draws the bar on standard error. Remove the bar at the end."""
    out = sys.stderr if stream is None else stream
    if not out.isatty() or os.environ.get("TERM") == "dumb":
        yield no_progress
        return
    is_drawn = False

    def draw(what: str, share: float) -> None:
        nonlocal is_drawn
        is_drawn = True
        out.write(f"\r\x1b[K{_bar(what, min(max(share, 0.0), 1.0), out)}")
        out.flush()

    try:
        yield draw
    finally:
        if is_drawn:
            out.write("\r\x1b[K")
            out.flush()


def _bar(what: str, share: float, out: TextIO) -> str:
    free = shutil.get_terminal_size().columns - len(what) - _MARGIN
    length = max(0, min(_COLUMNS, free))
    done = int(length * share)
    start, end = ("\x1b[32m", "\x1b[0m") if has_colour(out) else ("", "")
    full, empty = ("━", " ") if "utf" in (out.encoding or "").lower() else ("#", "-")
    return f"{what} {start}{full * done}{end}{empty * (length - done)} {share:4.0%}"
