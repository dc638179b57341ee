"""Find a key that a JSON object has twice.

RFC 8259, section 4: such an object means different things to different readers.
"""

from __future__ import annotations

import json
import re
from typing import Any

from . import exact_json

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

_SPACED = re.compile(rb'"[ \t\r\n]+:')

_MAX_SHOWN = 64


def find_duplicate_key(text: bytes, value: Any) -> str | None:
    """The first key that an object of this JSON text has twice, fit for a message; None without one.

    `value`: the text as exact_json reads it.
    """
    try:
        kept = exact_json.dumps(value)
    except (TypeError, RecursionError):  # deeper than can be written; such a text is refused for its depth
        return None
    if _is_plain(text) and text.count(b'":') == kept.count(b'":'):
        return None
    return None if _count_keys(text) == _count_keys(kept) else _first_duplicate(text)


def _is_plain(text: bytes) -> bool:
    """Whether `":` ends every key, and occurs in a string only where orjson writes it again. Serializers write so."""
    return b"\\u0022" not in text and _SPACED.search(text) is None


def _count_keys(text: bytes) -> int:
    """Outside of strings, each colon follows a key."""
    return _STRING.sub(b"", text).count(b":")


class _DuplicateKey(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _first_duplicate(text: bytes) -> str | None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(key)
            seen.add(key)

    try:
        json.loads(text, object_pairs_hook=check)
    except _DuplicateKey as duplicate:
        return duplicate.key[:_MAX_SHOWN].replace("\0", "\\u0000")
    except RecursionError:
        return None
    return None
