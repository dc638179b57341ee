"""Decide what follows a closed or refused connection: reconnect, or raise an error.

  4401, 4403       raise Unauthenticated, Forbidden.
  4408 lease lost  reconnect and register again.
  4409 superseded  raise Superseded.
  4429 too many    reconnect after at least five seconds.
  1012 restart     reconnect when the server said, else within two seconds.
  other codes      reconnect with backoff.

A refused handshake is decided by its HTTP status: 401 and 403 raise as above, 429 and 5xx reconnect (after
`Retry-After`), the rest raises Refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from typing import Any

from agenthall_client.errors import ClientError, Forbidden, Refused, Superseded, Unauthenticated

RESTART, CREDENTIALS, TENANT, LEASE_LOST, SUPERSEDED, TOO_MANY = 1012, 4401, 4403, 4408, 4409, 4429
TOO_MANY_SECONDS = 5.0
RESTART_SECONDS = 2.0

_FINAL_ERRORS: dict[int, type[ClientError]] = {
    CREDENTIALS: Unauthenticated,
    TENANT: Forbidden,
    SUPERSEDED: Superseded,
}


class RetryConnection(Exception):
    """Connect again after `min_delay` seconds plus a random delay.

    The random delay is up to `spread` seconds, or that of the backoff when `spread` is None.
    """

    def __init__(self, reason: str, *, min_delay: float = 0.0, spread: float | None = None) -> None:
        super().__init__(reason)
        self.min_delay = min_delay
        self.spread = spread


@dataclass(frozen=True, slots=True)
class CloseEvent:
    """How a connection ended.

    `code` None: it broke. `reconnect_after`: the seconds that the server announced before a restart.
    """

    code: int | None
    reason: str
    reconnect_after: float | None = None


def error_for_close(event: CloseEvent) -> Exception:
    """RetryConnection, or the ClientError that is final."""
    reason = event.reason or ("the connection broke" if event.code is None else f"closed with {event.code}")
    if event.code in _FINAL_ERRORS:
        return _FINAL_ERRORS[event.code](reason)
    if event.code == TOO_MANY:
        return RetryConnection(reason, min_delay=TOO_MANY_SECONDS)
    if event.code == RESTART:
        if event.reconnect_after is None:
            return RetryConnection(reason, spread=RESTART_SECONDS)
        return RetryConnection(reason, min_delay=event.reconnect_after, spread=0.1)
    if event.code == LEASE_LOST:
        return RetryConnection(reason, spread=0.5)
    return RetryConnection(reason)


def error_for_status(status: int, detail: str, retry_after: float) -> Exception:
    """The same for a refused handshake or `GET /info`. `retry_after`: seconds, 0 when not given."""
    text = f"{detail} (HTTP {status})"
    if status == 401:  # noqa: PLR2004
        return Unauthenticated(text)
    if status == 403:  # noqa: PLR2004
        return Forbidden(text)
    if status == 429 or status >= 500:  # noqa: PLR2004
        return RetryConnection(text, min_delay=retry_after)
    return Refused(text, reason="handshake")


def parse_retry_after(headers: Message | Any) -> float:
    """Seconds of `Retry-After` (RFC 9110, section 10.2.3), at most 60. 0 without one, and for a date."""
    text = (headers or {}).get("Retry-After") or ""
    return min(float(text), 60.0) if text.isdigit() else 0.0
