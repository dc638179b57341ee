"""Canonical JSON and content hashes: equal content gives equal bytes, whatever the order of keys."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson


def canonical_json(value: Any) -> bytes:
    """`value` (JSON types, UUIDs, datetimes) as bytes with sorted keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def content_hash(value: Any) -> str:
    """32 hexadecimal digits that change when, and only when, the content of `value` changes."""
    return hashlib.blake2b(canonical_json(value), digest_size=16).hexdigest()
