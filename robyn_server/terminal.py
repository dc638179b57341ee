"""Colours, only on a terminal that wants them, and text of others without control characters."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LAYOUT = frozenset("\n\t")


def has_colour(stream: TextIO) -> bool:
    """Return whether to write colours: on a terminal, unless NO_COLOR is set (no-color.org) or TERM is `dumb`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return the text in a style, such as `bold red`, if the stream (standard output) has colours."""
    if not style or not has_colour(sys.stdout if stream is None else stream):
        return text
    codes = ";".join(_STYLES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def printable(text: str) -> str:
    """Replace control characters except line ends and tabs: text of others must not control a terminal."""
    if text.isprintable():
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(each) == "Cc" and each not in _LAYOUT else each
        for each in text
    )
