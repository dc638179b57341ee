"""Validation of capabilities and tags, which are lists of strings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def string_list(name: str, value: Iterable[str]) -> list[str]:
    """Raises TypeError that names the parameter. A plain str is rejected: Python would read it as a list of letters."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: must be a list of strings, not {type(value).__name__}")
    strings = list(value)
    for each in strings:
        if not isinstance(each, str):
            raise TypeError(f"{name}: must be a list of strings, but contains {each!r}")
    return strings
