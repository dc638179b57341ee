"""JSON texts of messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class JsonText(str):
    """A JSON text, which goes into a message as it is."""

    __slots__ = ()

    @property
    def size(self) -> int:
        """Bytes as UTF-8."""
        return len(self) if self.isascii() else len(self.encode())


def to_json(value: Any, default: Callable[[Any], Any] | None = None) -> JsonText:
    """Raises TypeError or ValueError for what is no JSON, such as NaN. `default` converts other objects."""
    text = _dump(value, default, ascii_only=False)
    # One half of a surrogate pair is not text, and only ASCII can show it.
    return JsonText(text if _is_text(text) else _dump(value, default, ascii_only=True))


def _dump(value: Any, default: Callable[[Any], Any] | None, *, ascii_only: bool) -> str:
    return json.dumps(value, default=default, separators=(",", ":"), allow_nan=False, ensure_ascii=ascii_only)


def _is_text(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def join_members(members: Mapping[str, Any]) -> JsonText:
    """Return an object. Members that are JSON texts stay as they are. Raises as `to_json`."""
    texts = (
        f"{to_json(name)}:{value if isinstance(value, JsonText) else to_json(value)}" for name, value in members.items()
    )
    return JsonText(f"{{{','.join(texts)}}}")


def join_items(items: Iterable[str]) -> JsonText:
    """Return an array of JSON texts."""
    return JsonText(f"[{','.join(items)}]")
