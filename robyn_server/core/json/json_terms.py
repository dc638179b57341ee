"""Say errors of validation in the terms of JSON. pydantic's own name Python's types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def json_paths(problems: Sequence[Mapping[str, Any]], value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Return pydantic's errors of `value`, each with its path, such as `goto.0`. That of `value` itself is empty.

    Of the branches of a union, only those stay whose errors lie deepest: a list with a wrong element is no wrong text.
    """
    paths = [_path(problem, value) for problem in problems]
    above = {path[:depth] for path in paths for depth in range(len(path))}
    kept = [(path, problem) for path, problem in zip(paths, problems, strict=True) if path not in above]
    return [(".".join(str(part) for part in path), problem) for path, problem in kept]


def _path(problem: Mapping[str, Any], value: Any) -> tuple[str | int, ...]:
    """Return the parts of `loc` that `value` has. The others name branches of unions, as `list[constrained-str]`."""
    *parents, last = problem["loc"] or ("",)
    path: list[str | int] = []
    for part in parents:
        if _has(value, part):
            path.append(part)
            value = value[part]
    return (*path, last) if problem["type"] == "missing" or _has(value, last) else tuple(path)


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
