"""The head of the banner: a bracket on a terminal that is wide enough, plain lines elsewhere."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from robyn_server.terminal import printable

TITLE = "Agenthall is ready."
_NARROWEST, _WIDEST = 60, 110
_LABEL = 10
_WITHOUT_RULE = 6
"""Columns of the first line for the corner and spaces."""

Row = tuple[str, str]


def terminal_columns() -> int | None:
    """Return the width of the terminal that standard output is; None if it is none, or cannot show lines."""
    is_unicode = "utf" in (sys.stdout.encoding or "").lower()
    return shutil.get_terminal_size().columns if sys.stdout.isatty() and is_unicode else None


def render_head(rows: Sequence[Row], note: str, *, colour: bool, columns: int | None) -> str:
    """Render the title and the rows of labels and values. `note` stands at the end of the first line of the bracket."""
    cells = [(label, printable(" ".join(text.split()))) for label, text in rows]
    if columns is None or columns < _NARROWEST:
        return "\n".join([_styled(TITLE, "1", colour), "", *_plain_lines(cells, colour)])
    return "\n".join(_bracket(cells, note, min(columns, _WIDEST), colour))


def chat_row(names: Sequence[str], preferred: str) -> list[Row]:
    """Return the row with the command that talks to the preferred agent, else to the first; none without agents."""
    if not names:
        return []
    name = preferred if preferred in names else names[0]
    return [("talk to it", f"{_program()} chat {shlex.quote(printable(name))}")]


def _program() -> str:
    """Return the `agenthall` of this interpreter as one writes it in this directory."""
    program = Path(sys.executable).with_name("agenthall")
    found = shutil.which("agenthall")
    if found is not None and Path(found).resolve() == program.resolve():
        return "agenthall"
    if not program.exists():
        return f"{shlex.quote(sys.executable)} -m robyn_server"
    here = Path.cwd()
    return shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))


def _plain_lines(rows: Sequence[Row], colour: bool) -> Iterator[str]:
    for label, text in rows:
        yield f"  {_styled(f'{label:<{_LABEL}}', '1', colour)} {text}"


def _bracket(rows: Sequence[Row], note: str, width: int, colour: bool) -> Iterator[str]:
    """Yield lines that are open at the right: names may have characters of any width, and a line is copied without a
    frame."""
    rule = "─" * (width - len(TITLE) - len(note) - _WITHOUT_RULE)
    corner, side = _styled("╭──", "2", colour), _styled("│", "2", colour)
    yield f"{corner} {_styled(TITLE, '1;32', colour)} {_styled(f'{rule} {note}', '2', colour)}"
    for label, text in rows:
        for number, line in enumerate(_wrapped(text, width - _LABEL - 4)):
            name = _styled(f"{label if number == 0 else '':<{_LABEL}}", "1", colour)
            yield f"{side}  {name} {_styled(line, '36' if '://' in line else '', colour)}"
    yield _styled("╰──", "2", colour)


def _wrapped(text: str, room: int) -> list[str]:
    """Return lines of at most `room` characters. Words are not broken: an address or a command may be copied."""
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _styled(text: str, codes: str, colour: bool) -> str:
    return f"\x1b[{codes}m{text}\x1b[0m" if colour and codes else text
