"""What goes wrong, as a program is told.

ClientError
├── Unauthenticated   credentials are missing, wrong, expired or revoked; trying again does not help
├── Forbidden         the credentials are good, and not for this tenant, method or disabled agent
├── Superseded        a newer process has registered under the same instance_id; it has taken over, and this one is over
├── Refused           the server refuses what was said; `retryable` says whether the same may pass later
├── Unreachable       no server was reached in the time that was given
└── Closed            it was used before its beginning or after its end
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of this package."""


class Unauthenticated(ClientError):
    pass


class Forbidden(ClientError):
    pass


class Superseded(ClientError):
    pass


class Refused(ClientError):
    """`code` is the protocol's number (None: refused in the handshake), `reason` a stable word, `field` what was wrong."""

    def __init__(
        self,
        detail: str,
        *,
        code: int | None = None,
        reason: str = "refused",
        field: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.reason = reason
        self.field = field
        self.retryable = retryable


class Unreachable(ClientError):
    pass


class Closed(ClientError):
    pass
