"""What graphs hold, as JSON: messages, interrupts, pydantic models, and whatever a node left in the state."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def dumps(value: Any) -> bytes:
    """`value` as JSON. Never fails on a value: what has no JSON form is written as its text."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except (TypeError, RecursionError):  # integers over 64 bits, lone surrogates, very deep values
        return json.dumps(value, default=_plain, ensure_ascii=False, skipkeys=True).encode("utf-8", "replace")


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
