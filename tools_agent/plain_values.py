"""Make values that came from outside safe to store, to send and to show: text, numbers, lists and objects.

Rules
- Nothing is lost silently. A value without a form in JSON is replaced by a text that says what it was.
- An integer of any size stays exact.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DEPTH = 64
"""Levels of objects and lists. A checkpoint holds about 250, JSON writers and readers stop at 200 or more."""


def plain(value: Any, levels: int = MAX_DEPTH) -> Any:
    """Build `value` from JSON types.

    NaN and infinities become their names. Half a surrogate pair becomes U+FFFD. A part below `levels` becomes its JSON
    text.
    """
    if isinstance(value, str):
        return whole_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else json.dumps(value)
    if not isinstance(value, Mapping | list | tuple):
        return whole_text(str(value))
    if levels <= 0:
        return json_text(value)
    if isinstance(value, Mapping):
        return {whole_text(str(key)): plain(each, levels - 1) for key, each in value.items()}
    return [plain(each, levels - 1) for each in value]


def whole_text(text: str) -> str:
    """Join the halves of surrogate pairs, and replace a half that is alone. UTF-8 cannot hold either."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def json_text(value: Any) -> str:
    """Return `value` as JSON text, or a sentence if it is too deep to be written."""
    try:
        return whole_text(json.dumps(value, ensure_ascii=False, default=str))
    except (ValueError, RecursionError):
        return "(a value that cannot be written as JSON)"


def unsendable(value: Any, path: tuple[str, ...] = ()) -> str | None:
    """Find the first part of `value` that a JSON document cannot hold, as "path: reason". None if there is none."""
    if isinstance(value, str):
        return None if _is_unicode(value) else _found(path, "half of a surrogate pair")
    if isinstance(value, float):
        return None if math.isfinite(value) else _found(path, f"{value}, which JSON cannot represent")
    if not isinstance(value, Mapping | list | tuple):
        return None
    if len(path) >= MAX_DEPTH:
        return _found(path[:3], f"more than {MAX_DEPTH} levels of objects and lists")
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, each in items:
        if not _is_unicode(str(key)):
            return _found(path, "half of a surrogate pair in a name")
        if found := unsendable(each, (*path, str(key))):
            return found
    return None


def _found(path: tuple[str, ...], what: str) -> str:
    return f"{'.'.join(path) or 'the value'}: {what}"


def _is_unicode(text: str) -> bool:
    return whole_text(text) == text
