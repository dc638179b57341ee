"""JSON with integers of any size. orjson reads an integer over 64 bits as a float, and refuses to write one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import orjson

MAX_DIGITS = 4300
"""Digits of an integer. Python reads and writes no more, because the time grows with their square."""

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_POSITIVE, _NEGATIVE = b"0" * 20, b"-" + b"0" * 19
"""The shortest runs of digits that may be an integer over 64 bits."""
_LONG_RUN = re.compile(rb"\d{300,}")
_INFINITE = "number is infinity"
_TOO_LARGE = "Integer exceeds 64-bit range"


class IntegerTooLong(ValueError):
    """An integer has more than MAX_DIGITS digits. `field`: the names and indexes that lead to it."""

    def __init__(self, path: list[str]) -> None:
        self.field = ".".join(path)
        super().__init__(f"{self.field or 'the value'}: An integer must not have more than {MAX_DIGITS} digits")


class _Long(str):
    __slots__ = ()


def loads(text: bytes | str) -> Any:
    """Parse JSON (RFC 8259). Raises orjson.JSONDecodeError and IntegerTooLong."""
    data = text if isinstance(text, bytes) else text.encode()
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if _INFINITE not in str(error):
            raise
        orjson.loads(_LONG_RUN.sub(b"0", data))  # the rest must be JSON; the standard library is less strict
        return _loads_exactly(data, error)
    digits = data.translate(_DIGITS)
    if _POSITIVE not in digits and _NEGATIVE not in digits:
        return value
    try:
        return _loads_exactly(data, None)
    except RecursionError:  # orjson reads deeper values, which are refused for their depth later
        return value


def _loads_exactly(data: bytes, error: orjson.JSONDecodeError | None) -> Any:
    def finite(number: str) -> float:
        if math.isinf(value := float(number)):
            raise error or orjson.JSONDecodeError("number is infinity", number, 0)
        return value

    try:
        return json.loads(data, parse_float=finite)
    except orjson.JSONDecodeError:
        raise
    except ValueError:
        path = path_to(json.loads(data, parse_int=_marked), lambda each: isinstance(each, _Long))
        raise IntegerTooLong(path or []) from None


def dumps(value: Any, *, default: Callable[[Any], Any] | None = None, sort_keys: bool = False) -> bytes:
    """Return `value` as JSON text.

    Raises TypeError for a value without a form in JSON, and for one that is too deep.
    """
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_SORT_KEYS if sort_keys else 0)
    try:
        return orjson.dumps(value, default=default, option=options)
    except TypeError as error:
        if _TOO_LARGE not in str(error):
            raise
    text = json.dumps(
        value,
        default=lambda each: loads(orjson.dumps(each, default=default, option=options)),
        sort_keys=sort_keys,
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return text.encode()


def path_to(value: Any, is_wanted: Callable[[Any], bool]) -> list[str] | None:
    """Return the names and indexes that lead to the first wanted value within `value`."""
    if is_wanted(value):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in items:
        if (below := path_to(each, is_wanted)) is not None:
            return [str(name), *below]
    return None


def _marked(digits: str) -> int | _Long:
    return _Long(digits) if len(digits.lstrip("-")) > MAX_DIGITS else int(digits)
