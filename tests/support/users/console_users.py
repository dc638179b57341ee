"""Users of the console with tokens of AUTH_MODE=jwt, and how they sign in."""

from __future__ import annotations

import time

import jwt
from playwright.async_api import Page

SECRET = "a secret for the console's tests, long enough"
HARBOUR = "0a000000-0000-4000-8000-000000000001"
MEADOW = "0b000000-0000-4000-8000-000000000002"
HOSTILE = "<img src=x onerror=alert(1)>"
"""Has no period, so that it can also be a label of a namespace."""


def token(user: str, *organizations: str, is_admin: bool = False) -> str:
    claims = {
        "sub": user,
        "organizations": list(organizations),
        "permissions": ["admin"] if is_admin else [],
        "exp": int(time.time() + 6 * 3600),
    }
    return jwt.encode(claims, SECRET, "HS256")


async def sign_in(page: Page, secret: str) -> None:
    """Fill the form, which the page shows, with a token, or with a key (they begin with `ahk_`)."""
    kind, label = ("key", "API key") if secret.startswith("ahk_") else ("token", "Token")
    await page.get_by_label("Credential").select_option(kind)
    await page.get_by_label(label, exact=True).fill(secret)
    await page.get_by_role("button", name="Sign in").click()
