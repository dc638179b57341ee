"""JSON between Python and columns. It travels as text, so that rows which only pass through are not parsed."""

from __future__ import annotations

from typing import Any

from robyn_server.core.json import exact_json


def to_json(value: Any) -> str | None:
    """JSON text for a json or jsonb parameter. None stays NULL."""
    return None if value is None else dump_json(value).decode()


def dump_json(value: Any) -> bytes:
    # default=str: asyncpg has a UUID class of its own, which orjson does not know
    return exact_json.dumps(value, default=str)


def json_array(elements: str | None) -> str:
    """A JSON array of elements that the database has joined with commas; None: of none."""
    return f"[{elements or ''}]"


def from_json(text: str | None) -> Any:
    return None if text is None else exact_json.loads(text)
