"""The character NUL, which JSON may hold and PostgreSQL's text and jsonb may not: where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_LONGEST_NAME = 64
_HOLDING = frozenset({str, dict, list})
_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def has_nul(text: bytes) -> bool:
    """Whether a string of this JSON text holds it. A backslash that is escaped itself escapes nothing: "C:\\\\u0000" holds none."""
    return b"\\u0000" in text and _ESCAPED.search(text) is not None


def path_to_nul(value: Any) -> list[str] | None:
    """The names and numbers that lead to the first text in JSON's `value` which holds NUL, be it a name itself; None where none does."""
    if isinstance(value, str):
        return [] if "\0" in value else None
    if isinstance(value, dict):
        return _first_path(value.items())
    return _first_path(enumerate(value)) if isinstance(value, list) else None


def _first_path(items: Iterable[tuple[object, Any]]) -> list[str] | None:
    for name, value in items:
        if type(value) not in _HOLDING and type(name) is int:
            continue  # a body may be two million numbers
        below = [] if isinstance(name, str) and "\0" in name else path_to_nul(value)
        if below is not None:
            return [_shown(str(name)), *below]
    return None


def _shown(name: str) -> str:
    return name[:_LONGEST_NAME].replace("\0", "\\u0000")
