"""What each way of losing a socket means: end, or come back, and when.

| lost by | then |
|---|---|
| 4401, 4403 | over: Unauthenticated, Forbidden |
| 4408 lease lost | come back and register anew |
| 4409 superseded | over: Superseded |
| 4429 too many | come back, five seconds later at the earliest |
| 1012 restart | come back when the server said, else within two seconds |
| anything else | come back, with backoff |

A refused handshake is judged by its HTTP status: 401 and 403 as above, 429 and 5xx come back (Retry-After is heeded), the rest is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import ClientError, Forbidden, Refused, Superseded, Unauthenticated

RESTART, CREDENTIALS, TENANT, LEASE_LOST, SUPERSEDED, TOO_MANY = 1012, 4401, 4403, 4408, 4409, 4429
TOO_MANY_SECONDS = 5.0
RESTART_SECONDS = 2.0

_OVER: dict[int, type[ClientError]] = {CREDENTIALS: Unauthenticated, TENANT: Forbidden, SUPERSEDED: Superseded}
AUTHENTICATION = 4001
"""`code` of an error that is about credentials or rights. Its reason says which."""

_CREDENTIALS = ("key_", "token_", "credentials_", "ticket_")


class Again(Exception):
    """Come back. `least`: not before so many seconds. `within`: spread over so many, and not by backoff."""

    def __init__(self, reason: str, *, least: float = 0.0, within: float | None = None) -> None:
        super().__init__(reason)
        self.least = least
        self.within = within


@dataclass(frozen=True, slots=True)
class Goodbye:
    """`code` None: the connection broke. `come_back_after`: as the server said before a restart, in seconds."""

    code: int | None
    reason: str
    come_back_after: float | None = None


def verdict(goodbye: Goodbye) -> Exception:
    """Again, or the error that ends it."""
    reason = goodbye.reason or ("the connection broke" if goodbye.code is None else f"closed with {goodbye.code}")
    if goodbye.code in _OVER:
        return _OVER[goodbye.code](reason)
    if goodbye.code == TOO_MANY:
        return Again(reason, least=TOO_MANY_SECONDS)
    if goodbye.code == RESTART:
        told = goodbye.come_back_after
        return Again(reason, within=RESTART_SECONDS) if told is None else Again(reason, least=told, within=0.1)
    if goodbye.code == LEASE_LOST:
        return Again(reason, within=0.5)
    return Again(reason)


def verdict_of_status(status: int, detail: str, retry_after: float) -> Exception:
    """Of a handshake (or of /info) that was answered with an HTTP status. `retry_after`: seconds, 0 when nothing was said."""
    text = f"{detail} (HTTP {status})"
    if status == 401:  # noqa: PLR2004
        return Unauthenticated(text)
    if status == 403:  # noqa: PLR2004
        return Forbidden(text)
    if status == 429 or status >= 500:  # noqa: PLR2004
        return Again(text, least=retry_after)
    return Refused(text, reason="handshake")


def refusal(error: dict[str, Any]) -> ClientError:
    """An error message's `error` as an exception: Unauthenticated, Forbidden or Refused."""
    data = error.get("data") or {}
    detail, code, reason = str(error.get("message")), error.get("code"), str(data.get("reason"))
    if code == AUTHENTICATION:
        return Unauthenticated(detail) if reason.startswith(_CREDENTIALS) else Forbidden(detail)
    return Refused(
        detail,
        code=code,
        reason=reason,
        field=data.get("field"),
        retryable=bool(error.get("retryable")),
    )
