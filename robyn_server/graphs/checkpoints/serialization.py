"""Serialize state values as JSON: messages, interrupts, pydantic models, and anything else that a node puts into the
state."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

_MAX_DEPTH = 200
_MAX_BITS = 14_000
"""Python writes integers of at most 4300 decimal digits. A longer one becomes hexadecimal text."""
_LARGE = 65_536
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def dumps(value: Any) -> bytes:
    """`value` as JSON. Never fails: a value without a JSON form is written as its text."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except (TypeError, RecursionError):  # integers over 64 bits, lone surrogates, strange keys, deep or circular values
        text = json.dumps(_clean(value, _MAX_DEPTH), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


class ValuesSerializer:
    """Serializes the states of one run, in a thread when the last one was large."""

    def __init__(self) -> None:
        self._is_large = False

    async def dumps(self, value: Any) -> bytes:
        text = await asyncio.to_thread(dumps, value) if self._is_large else dumps(value)
        self._is_large = len(text) > _LARGE
        return text


def _clean(value: Any, levels: int) -> Any:
    """`value` built from JSON types.

    NaN becomes null, as in orjson, keys become text, and too deep values "(too deep)".
    """
    if value is None or isinstance(value, str | bool):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return value if value.bit_length() < _MAX_BITS else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if levels == 0:
        return "(too deep)"
    if isinstance(value, Mapping):
        return {_key(key): _clean(each, levels - 1) for key, each in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        return [_clean(each, levels - 1) for each in value]
    return _clean(_to_json_types(value), levels - 1)


def _to_json_types(value: Any) -> Any:
    """Convert with orjson the types that it knows (dates, UUIDs, dataclasses), others with `_plain`."""
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
        return hex(key) if isinstance(key, int) else str(key)


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
