"""JSON texts of messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


class JsonText(str):
    """A JSON text, which goes into a message as it is."""

    __slots__ = ()


def to_json(value: Any) -> JsonText:
    """Raises TypeError or ValueError for what is no JSON, such as NaN."""
    return JsonText(json.dumps(value, separators=(",", ":"), allow_nan=False))


def join_members(members: Mapping[str, Any]) -> JsonText:
    """Return an object. Members that are JSON texts stay as they are. Raises as `to_json`."""
    texts = (
        f"{to_json(name)}:{value if isinstance(value, JsonText) else to_json(value)}" for name, value in members.items()
    )
    return JsonText(f"{{{','.join(texts)}}}")


def join_items(items: Iterable[str]) -> JsonText:
    """Return an array of JSON texts."""
    return JsonText(f"[{','.join(items)}]")
