"""Find the character NUL, which JSON may hold and PostgreSQL's text and jsonb may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import exact_json

_LONGEST_NAME = 64
_ESCAPED = rb"\u0000"


def has_nul(text: bytes) -> bool:
    """Whether a string of this JSON text holds NUL. An escaped backslash escapes nothing: "C:\\\\u0000" does not."""
    # A regular expression takes 0.1 s for a megabyte, and holds the interpreter's lock.
    parts = text.split(_ESCAPED)
    return any(not _ends_escaped(part) for part in parts[:-1])


def without_nul(text: bytes) -> bytes:
    """Remove NUL from the strings of JSON text."""
    parts = text.split(_ESCAPED)
    return b"".join(part + _ESCAPED if _ends_escaped(part) else part for part in parts[:-1]) + parts[-1]


def _ends_escaped(part: bytes) -> bool:
    """Whether the backslash after `part` is escaped by its last one."""
    return (len(part) - len(part.rstrip(b"\\"))) % 2 == 1


def path_to_nul(value: Any) -> list[str] | None:
    """The path of names and indexes to the first name or string in `value` that holds NUL; None without one.

    Halves are serialized until one element is left: a loop over the elements of a large body would delay other threads.
    """
    if not _holds_nul(value):
        return None
    if isinstance(value, dict):
        items = list(value.items())
        name, below = items[_first(items, dict)]
        path = [] if "\0" in name else path_to_nul(below) or []
        return [_shown(name), *path]
    if isinstance(value, list):
        index = _first(value, list)
        return [str(index), *(path_to_nul(value[index]) or [])]
    return []


def _first(items: list[Any], whole: Callable[[list[Any]], Any]) -> int:
    """The index of the first of `items` that holds NUL; one of them does. `whole` makes a value of some of them."""
    start, stop = 0, len(items)
    while stop - start > 1:
        middle = (start + stop) // 2
        start, stop = (start, middle) if _holds_nul(whole(items[start:middle])) else (middle, stop)
    return start


def _holds_nul(value: Any) -> bool:
    return has_nul(exact_json.dumps(value, default=str))


def _shown(name: str) -> str:
    return name[:_LONGEST_NAME].replace("\0", "\\u0000")
