"""Read the claims of a token that this server has verified when it was given."""

from __future__ import annotations

import base64
import time
from typing import Any

import orjson


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, without verifying it; empty for another text."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004  header, claims, signature
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def audiences_of(token: str) -> frozenset[str]:
    """The `aud` of a token: a text, or a list of them (RFC 7519, section 4.1.3)."""
    named = claims_of(token).get("aud")
    given = named if isinstance(named, list) else [named]
    return frozenset(each for each in given if isinstance(each, str))


def is_expired(token: str) -> bool:
    expiry = claims_of(token).get("exp")
    return isinstance(expiry, int | float) and expiry <= time.time()
