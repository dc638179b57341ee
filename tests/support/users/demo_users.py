"""Organizations and agents of the demo catalogue, and tokens for its users."""

from __future__ import annotations

import time
from typing import Any

import jwt

SECRET = "a secret for tests that is long enough"
HARBOUR = "0a000000-0000-4000-8000-000000000001"
MEADOW = "0b000000-0000-4000-8000-000000000002"
UNKNOWN_ORGANIZATION = "0c000000-0000-4000-8000-000000000003"

RESEARCHER = "1a000000-0000-4000-8000-000000000001"
FINDER = "1a000000-0000-4000-8000-000000000002"
SLOW = "1a000000-0000-4000-8000-000000000003"
EDITOR = "1b000000-0000-4000-8000-000000000001"
MANAGER = "1b000000-0000-4000-8000-000000000002"
RETIRED = "1b000000-0000-4000-8000-000000000003"


def token(
    user: str, *organizations: str, expires_in: float = 6 * 3600, permissions: tuple[str, ...] = (), **more: Any
) -> str:
    claims = {
        "sub": user,
        "organizations": list(organizations),
        "permissions": list(permissions),
        "exp": int(time.time() + expires_in),
        **more,
    }
    return jwt.encode(claims, SECRET, "HS256")


def bearer(user: str, *organizations: str, **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(user, *organizations, **claims)}"}
