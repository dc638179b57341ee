"""Count the values of JSON text without parsing it.

A parsed value takes many times the memory of its text: an empty list takes 64 bytes, and its text three. Every value
but the outermost follows a comma or an opening bracket, perhaps with a name between. So the commas and brackets outside
of strings bound the values.
"""

from __future__ import annotations

_SEPARATORS = b",[{"
_QUOTES_PER_VALUE = 4
"""A value and its name are at most two strings. The outermost value is not counted."""


def has_more_values(text: bytes, limit: int) -> bool:
    """Whether JSON text has more than `limit` elements and members, those of nested values included."""
    if _separators(text) <= limit:
        return False
    plain = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if plain.count(b'"') > _QUOTES_PER_VALUE * limit + 2:
        return True
    return _separators(b"".join(plain.split(b'"')[::2])) > limit


def _separators(text: bytes) -> int:
    # `bytes.count` is five times slower where every second byte is a comma
    return len(text) - len(text.translate(None, _SEPARATORS))
