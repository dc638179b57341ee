"""Say errors of validation in the terms of JSON. pydantic's own name Python's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OBJECT, _LIST = "Input should be a valid object", "Input should be a valid list"
_MESSAGES = {
    "dict_type": _OBJECT,
    "mapping_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dataclass_type": _OBJECT,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "none_required": "Input should be null",
}
_SIZES = frozenset({"too_long", "too_short"})
_NAMES = {"Tuple": "List", "Set": "List", "Frozenset": "List", "Dictionary": "Object"}


def json_message(problem: Mapping[str, Any]) -> str:
    """The message of one of pydantic's errors, for a client that knows JSON and not Python."""
    kind, text = problem["type"], str(problem["msg"]).removeprefix("Value error, ")
    if kind not in _SIZES:
        return _MESSAGES.get(kind, text)
    first, _, rest = text.partition(" ")
    return f"{_NAMES.get(first, first)} {rest.replace(' after validation', '')}"
