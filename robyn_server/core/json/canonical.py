"""Canonical JSON and content hashes: equal content gives equal bytes, whatever the order of keys."""

from __future__ import annotations

import hashlib
from typing import Any

from . import exact_json


def canonical_json(value: Any) -> bytes:
    """`value` (JSON types, UUIDs, datetimes) as bytes with sorted keys."""
    return exact_json.dumps(value, sort_keys=True)


def content_hash(value: Any) -> str:
    """32 hexadecimal digits that change when, and only when, the content of `value` changes."""
    return hashlib.blake2b(canonical_json(value), digest_size=16).hexdigest()
