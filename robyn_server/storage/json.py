"""JSON between Python and columns: text both ways, so that rows pass through without being parsed where nobody looks inside."""

from __future__ import annotations

import re
from typing import Any

import orjson

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def to_json(value: Any) -> str | None:
    """JSON text for a json or jsonb parameter; None stays NULL."""
    return None if value is None else dump_json(value).decode()


def dump_json(value: Any) -> bytes:
    """asyncpg has a UUID class of its own, which orjson does not know."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)


def from_json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def without_nul(text: bytes) -> bytes:
    """JSON text without the escaped character NUL, which jsonb cannot hold. Only for copies: the checkpoint keeps the original."""
    return _NUL.sub(rb"\1", text) if b"\\u0000" in text else text
