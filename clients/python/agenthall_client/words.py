"""Lists of words: capabilities and tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def words(name: str, value: Iterable[str]) -> list[str]:
    """Raises TypeError naming the parameter: a text is a list of letters to Python, and is never meant so."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: must be a list of words, not {type(value).__name__}")
    found = list(value)
    for word in found:
        if not isinstance(word, str):
            raise TypeError(f"{name}: must be a list of words, and {word!r} is none")
    return found
