"""What graphs hold, as JSON: messages, interrupts, pydantic models, and whatever a node left in the state."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

_DEEPEST = 200
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def dumps(value: Any) -> bytes:
    """`value` as JSON. Never fails on a value: what has no JSON form is written as its text."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except (TypeError, RecursionError):  # integers over 64 bits, lone surrogates, strange keys, deep or circular values
        text = json.dumps(_clean(value, _DEEPEST), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def _clean(value: Any, levels: int) -> Any:
    """`value` out of what JSON has: NaN is null, as orjson writes it, a key is text, and what lies too deep is said to."""
    if value is None or isinstance(value, str | bool):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int | float):
        return value if isinstance(value, int) or math.isfinite(value) else None
    if levels == 0:
        return "(too deep)"
    if isinstance(value, Mapping):
        return {_key(key): _clean(each, levels - 1) for key, each in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        return [_clean(each, levels - 1) for each in value]
    return _clean(_made_plain(value), levels - 1)


def _made_plain(value: Any) -> Any:
    """What orjson makes of the kinds that it knows (dates, UUIDs, dataclasses), else what we make of it."""
    try:
        return orjson.loads(orjson.dumps(value, default=_plain, option=_OPTIONS))
    except (TypeError, RecursionError, orjson.JSONDecodeError):
        is_instance = dataclasses.is_dataclass(value) and not isinstance(value, type)
        return (
            {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
            if is_instance
            else _plain(value)
        )


def _key(key: Any) -> str:
    if type(key) is str:
        return key
    try:
        return str(next(iter(orjson.loads(orjson.dumps({key: None}, option=_OPTIONS)))))
    except TypeError:
        return str(key)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": str(value)}
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | Iterable) and not isinstance(value, type):
        return list(value)
    fields = getattr(type(value), "__slots__", None) if type(value).__module__.startswith("langgraph.") else None
    return {name: getattr(value, name) for name in fields} if fields else str(value)
